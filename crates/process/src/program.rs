//! Where a program is: as configured, or in the usual places.

use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind};

/// Folders that are looked into besides `PATH`: a service's `PATH` often lacks them.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin"];

/// What to look for.
#[derive(Debug, Clone)]
pub struct Search<'a> {
    /// The program as messages name it: `virtiofsd`.
    pub program: &'a str,
    /// The path that the user configured; then no other place is looked at.
    pub configured: Option<&'a Path>,
    /// Names to find in `PATH` and the system's folders, and whole paths; the first that exists
    /// wins.
    pub candidates: Vec<PathBuf>,
    /// What a person does to get it: `install the Debian package virtiofsd`.
    pub remedy: &'a str,
}

/// The absolute path of a program.
///
/// Errors: `NotFound`, saying where it was looked for and what to do; `Denied` when a configured
/// path exists but is not an executable file.
pub fn find_program(search: &Search<'_>) -> Result<PathBuf, Error> {
    if let Some(path) = search.configured {
        return check_configured(search, path);
    }
    let places: Vec<PathBuf> = search.candidates.iter().flat_map(|c| expand(c)).collect();
    let found = places.iter().find(|place| is_executable(place));
    found.cloned().ok_or_else(|| {
        let places: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        let message = format!(
            "{} was not found: {} (looked for {})",
            search.program,
            search.remedy,
            places.join(", ")
        );
        Error::new(ErrorKind::NotFound, message)
    })
}

fn check_configured(search: &Search<'_>, path: &Path) -> Result<PathBuf, Error> {
    let program = search.program;
    if !path.is_absolute() {
        let message = format!(
            "the configured path {} of {program} is not absolute",
            path.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if is_executable(path) {
        return Ok(path.to_owned());
    }
    let (kind, lack) = match path.exists() {
        true => (ErrorKind::Denied, "is not an executable file"),
        false => (ErrorKind::NotFound, "does not exist"),
    };
    let message = format!(
        "{}, configured as {program}, {lack}: correct the configuration or {}",
        path.display(),
        search.remedy
    );
    Err(Error::new(kind, message))
}

/// A bare name stands for that name in each folder, anything else for itself.
fn expand(candidate: &Path) -> Vec<PathBuf> {
    if candidate.components().count() > 1 || candidate.is_absolute() {
        return vec![candidate.to_owned()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .collect();
    for folder in SYSTEM_FOLDERS.map(PathBuf::from) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
        .into_iter()
        .map(|folder| folder.join(candidate))
        .collect()
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search<'a>(configured: Option<&'a Path>, candidates: &[&str]) -> Search<'a> {
        Search {
            program: "the shell",
            configured,
            candidates: candidates.iter().map(PathBuf::from).collect(),
            remedy: "install dash",
        }
    }

    #[test]
    fn the_first_that_exists_wins() {
        let found = find_program(&search(None, &["/no/such/sh", "no-such-sh", "/bin/sh"]));
        assert_eq!(found.ok(), Some(PathBuf::from("/bin/sh")));
        let by_name = find_program(&search(None, &["sh"])).ok();
        assert!(by_name.is_some_and(|path| path.is_absolute() && path.ends_with("sh")));
    }

    #[test]
    fn a_refusal_says_where_and_what_to_do() {
        let error = find_program(&search(None, &["/no/such/sh"])).expect_err("it does not exist");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(
            text.contains("/no/such/sh") && text.contains("install dash"),
            "{text}"
        );
    }

    #[test]
    fn a_configured_path_is_used_or_refused_never_replaced() {
        let rows = [
            ("/no/such/sh", ErrorKind::NotFound),
            ("/etc/passwd", ErrorKind::Denied),
            ("/etc", ErrorKind::Denied),
            ("bin/sh", ErrorKind::Invalid),
        ];
        for (path, kind) in rows {
            let refused = find_program(&search(Some(Path::new(path)), &["/bin/sh"]));
            assert_eq!(refused.map_err(|e| e.kind()), Err(kind), "{path}");
        }
    }
}
