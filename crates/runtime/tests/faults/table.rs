//! What was tried, as a table: on the terminal, and in a file for whoever ran the tests.

use std::fmt::Write as _;
use std::path::Path;

use virtcontainers_testkit::fault::Blow;

use crate::act::Act;
use crate::stage::Setting;

/// One row: an operation, what befell it, and how often.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) act: Act,
    pub(crate) blow: Blow,
    pub(crate) setting: Setting,
    pub(crate) points: u64,
    pub(crate) took: std::time::Duration,
}

/// Shows the rows and writes them to `faults/<name>.txt` in the folder of the build.
pub(crate) fn show(name: &str, rows: &[Row]) {
    let mut text = String::new();
    for row in rows {
        let Row {
            act,
            blow,
            setting,
            points,
            took,
        } = row;
        let millis = took.as_millis();
        let (act, setting) = (act.to_string(), format!("{setting:?}"));
        writeln!(
            text,
            "{act:<24} {blow:<8} {setting:<10} {points:>4} points {millis:>6} ms"
        )
        .unwrap();
    }
    let tried: u64 = rows.iter().map(|row| row.points).sum();
    writeln!(text, "{name}: {tried} faults in all").unwrap();
    eprintln!("{text}");
    // Tests are built in <target>/<profile>/deps.
    let program = std::env::current_exe().unwrap();
    let folder = program.ancestors().nth(2).unwrap_or(Path::new("."));
    let folder = folder.join("faults");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.txt")), text).unwrap();
}
