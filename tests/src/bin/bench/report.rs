//! The figures for people, and for programs.

use serde_json::{Value, json};

use crate::figure::{Row, Samples, Target};

/// A table in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| figure | median (min to max) | against | ratio (min to max) | target | |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let unit = row.unit.sign();
        let ours = format!("{} {unit}", spread(&row.ours));
        let against = row
            .against
            .as_ref()
            .map_or_else(String::new, |(what, samples)| {
                format!("{what}: {} {unit}", spread(samples))
            });
        let ratio = row.ratio().map_or_else(String::new, |ratio| spread(&ratio));
        let target = match row.target {
            Some(Target::Ratio(most)) => format!("≤ {}", number(most)),
            Some(Target::Value(most)) => format!("≤ {} {unit}", number(most)),
            None => String::new(),
        };
        let verdict = match row.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let remark = format!("{verdict} {}", row.note);
        let (what, remark) = (&row.what, remark.trim());
        text += &format!("| {what} | {ours} | {against} | {ratio} | {target} | {remark} |\n");
    }
    text
}

/// An array with an object for each row.
pub(crate) fn json(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows.iter().map(object).collect();
    format!("{:#}", Value::Array(rows))
}

fn object(row: &Row) -> Value {
    let against = row
        .against
        .as_ref()
        .map(|(what, samples)| json!({ "what": what, "measured": summary(samples) }));
    let (of, most) = match row.target {
        Some(Target::Ratio(most)) => ("ratio", Some(most)),
        Some(Target::Value(most)) => ("value", Some(most)),
        None => ("none", None),
    };
    json!({
        "figure": row.what,
        "unit": row.unit.sign(),
        "measured": summary(&row.ours),
        "against": against,
        "ratio": row.ratio().as_ref().map(summary),
        "target": most.map(|most| json!({ "of": of, "at_most": most })),
        "met": row.is_met(),
        "note": row.note,
    })
}

fn summary(samples: &Samples) -> Value {
    let [min, median, max] = samples.spread();
    json!({ "min": min, "median": median, "max": max, "count": samples.count() })
}

fn spread(samples: &Samples) -> String {
    let [min, median, max] = samples.spread();
    match samples.count() {
        1 => number(median),
        _ => format!("{} ({} to {})", number(median), number(min), number(max)),
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Unit;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let cases = [
            (1234.56, "1235"),
            (12.34, "12.3"),
            (1.2, "1.2"),
            (0.5, "0.5"),
            (8.0, "8"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_row_tells_what_was_measured_and_what_was_to_be_reached() {
        let samples = |numbers: &[f64]| Samples::new(numbers.to_vec()).unwrap();
        let row = Row::new("start", Unit::Milliseconds, samples(&[30.0, 20.0]))
            .against("bare", samples(&[20.0, 20.0]))
            .target(Target::Ratio(1.25));
        let table = table(std::slice::from_ref(&row));
        let line = table.lines().last().unwrap();
        let expected = "| start | 25 (20 to 30) ms | bare: 20 (20 to 20) ms | 1.25 (1 to 1.5) | \
                        ≤ 1.25 | met |";
        assert_eq!(line, expected);
        let json: Value = serde_json::from_str(&json(&[row])).unwrap();
        assert_eq!(json[0]["ratio"]["median"], 1.25);
        assert_eq!(json[0]["met"], true);
    }
}
