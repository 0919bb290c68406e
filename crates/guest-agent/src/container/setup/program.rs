//! The last steps, and the program itself.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::users::Identity;
use super::{Agent, privileges};
use crate::container::error::{EngineError, Result, Step as _};
use crate::container::plan::ProcessPlan;
use crate::container::sys;

/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that could not be run, for a reason that is its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotRun {
    status: i32,
    message: String,
}

impl NotRun {
    fn new(program: &str, error: &io::Error) -> Self {
        let missing = [Some(libc::ENOENT), Some(libc::ENOTDIR)];
        let (status, why) = match error.raw_os_error() {
            number if missing.contains(&number) => (127, "not found".to_owned()),
            Some(libc::EACCES) => (126, "permission denied".to_owned()),
            Some(libc::ENOEXEC) => (126, "not an executable file".to_owned()),
            _ => (126, error.to_string()),
        };
        Self {
            status,
            message: format!("exec: {program}: {why}\n"),
        }
    }

    /// Tells whoever reads stderr, as a shell would, and gives the exit status.
    pub(super) fn report(&self) -> i32 {
        let stderr = rustix::stdio::stderr();
        // Nobody is left to hear of a failure.
        rustix::io::write(stderr, self.message.as_bytes()).ok();
        self.status
    }
}

/// Gives up all rights that the program shall not have and becomes it.
pub(super) fn run(process: &ProcessPlan, identity: &Identity, agent: &Agent) -> Result<NotRun> {
    enter_folder(&process.cwd)?;
    let strings = |texts: &[String]| -> Result<Vec<CString>> {
        texts
            .iter()
            .map(|text| CString::new(text.as_str()).map_err(zero_byte))
            .collect()
    };
    let args = strings(&process.args)?;
    let mut env = strings(&process.env)?;
    if !process.env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(CString::new(format!("HOME={}", identity.home)).map_err(zero_byte)?);
    }
    let program = process.args.first().map(String::as_str).unwrap_or_default();
    // Before the filter, which may not allow even this.
    agent.running()?;
    privileges::drop(process, identity)?;
    let mut refused = io::Error::from_raw_os_error(libc::ENOENT);
    for candidate in candidates(program, &process.env) {
        let path = CString::new(candidate).map_err(zero_byte)?;
        let Err(error) = sys::execve(&path, &args, &env);
        // Go on looking, as execvp does; but one that is there and forbidden is worth telling.
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            Some(libc::EACCES) => refused = error,
            _ => {
                refused = error;
                break;
            }
        }
    }
    Ok(NotRun::new(program, &refused))
}

fn zero_byte(_: std::ffi::NulError) -> EngineError {
    EngineError::invalid("process: a string has a zero byte")
}

/// Files that the name may mean.
fn candidates(program: &str, env: &[String]) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let path = env
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or(PATH);
    path.split(':')
        .map(|folder| match folder {
            "" => format!("./{program}"),
            folder => format!("{}/{program}", folder.trim_end_matches('/')),
        })
        .collect()
}

/// Goes to the working folder, which is made if it is missing.
fn enter_folder(cwd: &Path) -> Result<()> {
    let what = || format!("enter process.cwd {}", cwd.display());
    match rustix::process::chdir(cwd) {
        Err(Errno::NOENT) => {
            std::fs::create_dir_all(cwd).step(what)?;
            rustix::process::chdir(cwd).step(what)?;
        }
        other => other.step(what)?,
    }
    // A link to a descriptor of ours could lead out of the root.
    let here = rustix::process::getcwd(Vec::new()).step(what)?;
    if !here.as_bytes().starts_with(b"/") {
        return Err(EngineError::invalid(format!(
            "{}: outside of the container",
            what()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_along_the_path_of_the_environment() {
        let env = |path: &str| vec!["A=b".to_owned(), format!("PATH={path}")];
        assert_eq!(
            candidates("sh", &env("/bin:/usr/bin/")),
            ["/bin/sh", "/usr/bin/sh"]
        );
        assert_eq!(candidates("sh", &env(":/x")), ["./sh", "/x/sh"]);
        assert_eq!(candidates("./sh", &env("/bin")), ["./sh"]);
        assert_eq!(candidates("/a/b", &[]), ["/a/b"]);
        assert_eq!(candidates("sh", &[]).len(), 6);
    }

    #[test]
    fn statuses_are_those_of_a_shell() {
        for (number, status) in [
            (libc::ENOENT, 127),
            (libc::ENOTDIR, 127),
            (libc::EACCES, 126),
            (libc::ENOEXEC, 126),
            (libc::E2BIG, 126),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(NotRun::new("x", &error).status, status, "{error}");
        }
    }
}
