//! How big what is read at each boot is.

use std::path::Path;

use anyhow::{Context, Result};

use crate::figure::{Row, Samples, Target, Unit};
use crate::setting::Setting;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let row = |what: &str, path: &Path, most: f64| -> Result<Row> {
        let about = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        let size = Samples::one(about.len() as f64 / f64::from(1 << 20));
        Ok(Row::new(what, Unit::Mebibytes, size).target(Target::Value(most)))
    };
    Ok(vec![
        row("guest agent, program", &setting.agent, 8.0)?,
        row("initrd", &setting.initrd, 14.0)?,
    ])
}
