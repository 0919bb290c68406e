//! Records: each follows from the one before, and whoever reads one reads the one that was there.

use super::Findings;
use crate::history::legal::objection;
use crate::history::timeline::Life;
use crate::history::{Event, Line, Seen, Timeline};

/// Generations are consecutive, transitions legal, lives apart.
pub(super) fn check(timeline: &Timeline, findings: &mut Findings) {
    for (index, life) in timeline.lives.iter().enumerate() {
        findings.count("sandboxes, one after the other");
        check_life(life, findings);
        let next = timeline.lives.get(index + 1);
        let next = next.and_then(|next| next.writes.first());
        match (next, life.removed) {
            (Some(next), Some((removed, _))) if next.to >= removed => {}
            (None, _) => {}
            _ => findings.problem(format!(
                "another sandbox was created while {} was there",
                life.incarnation
            )),
        }
    }
}

fn check_life(life: &Life, findings: &mut Findings) {
    let mut before: Option<&Seen> = None;
    let mut until = 0;
    for write in &life.writes {
        findings.count("records written");
        let seen = &write.seen;
        let expected = before.map_or(1, |before| before.generation + 1);
        let place = format!(
            "{} generation {} by {} of {}",
            life.incarnation, seen.generation, write.by, write.process
        );
        if seen.generation != expected {
            findings.problem(format!("{place}: generation {expected} should have come"));
        }
        if write.from < until {
            findings.problem(format!("{place}: two wrote at the same time"));
        }
        if let Some(objection) = objection(before, &write.by, seen) {
            findings.problem(format!("{place}: {objection}"));
        }
        before = Some(seen);
        until = write.to;
    }
    if let Some((_, removed)) = life.removed
        && removed < until
    {
        let incarnation = &life.incarnation;
        findings.problem(format!("{incarnation} was written after it was removed"));
    }
}

/// Who reads a generation reads what was written as that generation, while it was the stored one.
pub(super) fn check_reads(lines: &[Line], timeline: &Timeline, findings: &mut Findings) {
    for line in lines {
        match &line.event {
            Event::Read(seen) => {
                findings.count("records read");
                if let Some(objection) = misread(line, seen, timeline) {
                    let reader = line.process;
                    findings.problem(format!("{reader} read {seen:?}: {objection}"));
                }
            }
            Event::Missed => {
                findings.count("records missed");
                let there = timeline.during(line.from, line.to);
                if !there.contains(&None) {
                    findings.problem(format!("{} saw none of {there:?}", line.process));
                }
            }
            Event::Began(_) | Event::Ended(_) | Event::Wrote { .. } | Event::Removed(_) => {}
        }
    }
}

fn misread(line: &Line, seen: &Seen, timeline: &Timeline) -> Option<String> {
    let life = timeline.life(seen.incarnation());
    let Some((write, until)) = life.and_then(|life| life.span(seen.generation)) else {
        return Some("nobody wrote that".to_owned());
    };
    if write.seen != *seen {
        return Some(format!("{:?} was written", write.seen));
    }
    if line.to < write.from {
        return Some("it was not written yet".to_owned());
    }
    (until < line.from).then(|| "it was replaced before".to_owned())
}
