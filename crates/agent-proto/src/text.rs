//! Sentences of kata-agent that carry meaning, because its status code does not.

/// The first line of the answer when the program of a container or process is missing.
pub fn program_not_found(program: &str) -> String {
    format!("the file {program} was not found")
}

/// Whether an answer begins with [`program_not_found`].
pub fn is_program_not_found(message: &str) -> bool {
    let first = message.lines().next().unwrap_or_default();
    first.starts_with("the file ") && first.ends_with(" was not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_recognised_before_a_stack_trace() {
        assert!(is_program_not_found(&program_not_found("sh")));
        assert!(is_program_not_found(
            "the file sh was not found\n\nStack backtrace:"
        ));
        assert!(!is_program_not_found("mount /dev was not found"));
    }
}
