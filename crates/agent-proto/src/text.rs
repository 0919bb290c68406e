//! Sentences of the protocol that carry meaning, because the status code alone does not: both
//! sides take them from here. The first is kata-agent's own.

/// The first line of the answer when the program of a container or process is missing.
pub fn program_not_found(program: &str) -> String {
    format!("the file {program} was not found")
}

/// The first line of our agent's answer when the program is there and cannot be run.
/// kata-agent has no such answer: there the process ends with the error number as its status.
pub fn program_not_executable(program: &str) -> String {
    format!("the file {program} is not executable")
}

/// Whether the first line of an answer is that of [`program_not_found`].
pub fn is_program_not_found(message: &str) -> bool {
    is_about_file(message, " was not found")
}

/// Whether the first line of an answer is that of [`program_not_executable`].
pub fn is_program_not_executable(message: &str) -> bool {
    is_about_file(message, " is not executable")
}

fn is_about_file(message: &str, end: &str) -> bool {
    let first = message.lines().next().unwrap_or_default();
    first.starts_with("the file ") && first.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sentence_is_recognised_as_itself_only() {
        let missing = program_not_found("sh");
        let unusable = program_not_executable("sh");
        assert!(is_program_not_found(&missing) && !is_program_not_found(&unusable));
        assert!(is_program_not_executable(&unusable) && !is_program_not_executable(&missing));
        assert!(is_program_not_found(
            "the file sh was not found\n\nStack backtrace:"
        ));
    }
}
