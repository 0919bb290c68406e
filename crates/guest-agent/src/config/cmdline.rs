//! The kernel command line: `agent.*` words become settings.
//!
//! Unknown words belong to others and are passed over. A known word with a value that makes no
//! sense keeps the default and leaves a warning: a guest must not die of a typing error.

use std::time::Duration;

use log::LevelFilter;

use super::Config;

/// Applies the words of `line` to `config`; gives the warnings.
pub(crate) fn apply(config: &mut Config, line: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for word in line.split_ascii_whitespace() {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        if let Err(expected) = apply_word(config, key, value) {
            warnings.push(format!(
                "kernel command line: {word:?}: expected {expected}"
            ));
        }
    }
    warnings
}

/// Applies one word; the error says what the value should have been.
fn apply_word(config: &mut Config, key: &str, value: Option<&str>) -> Result<(), &'static str> {
    const NUMBER: &str = "a number";
    match key {
        "agent.log" => {
            config.log_level = value.and_then(level).ok_or("a log level")?;
        }
        "agent.log_vport" => config.log_vport = number(value).ok_or(NUMBER)?,
        "agent.debug_console" => config.debug_console = true,
        "agent.debug_console_vport" => {
            config.debug_console_vport = number(value).ok_or(NUMBER)?;
        }
        "agent.server_addr" => {
            config.listen = value
                .filter(|address| super::options::is_address(address))
                .ok_or("vsock://CID:PORT or unix:///PATH")?
                .to_owned();
        }
        "agent.hotplug_timeout" => {
            let seconds: u32 = number(value).ok_or(NUMBER)?;
            if seconds > 0 {
                config.hotplug_timeout = Duration::from_secs(seconds.into());
            }
        }
        "agent.container_pipe_size" => {
            config.container_pipe_size = number(value).ok_or(NUMBER)?;
        }
        "agent.announce_vport" => config.announce_vport = number(value).ok_or(NUMBER)?,
        _ => {}
    }
    Ok(())
}

fn number(value: Option<&str>) -> Option<u32> {
    value?.parse().ok()
}

/// The level names of the protocol, which knows two more than Rust's logging.
pub(crate) fn level(name: &str) -> Option<LevelFilter> {
    Some(match name {
        "fatal" | "panic" | "critical" | "error" => LevelFilter::Error,
        "warn" | "warning" => LevelFilter::Warn,
        "info" => LevelFilter::Info,
        "debug" => LevelFilter::Debug,
        "trace" => LevelFilter::Trace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (Config, Vec<String>) {
        let mut config = Config::default();
        let warnings = apply(&mut config, line);
        (config, warnings)
    }

    #[test]
    fn known_words_are_taken_and_foreign_ones_passed_over() {
        let (config, warnings) = parse(
            "console=ttyS0 panic=-1 quiet agent.log=debug agent.log_vport=1025 agent.unknown=x \
             agent.debug_console agent.debug_console_vport=1026 agent.hotplug_timeout=7 \
             agent.container_pipe_size=4096 agent.announce_vport=1023\n",
        );
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(config.log_level, LevelFilter::Debug);
        assert_eq!(config.log_vport, 1025);
        assert!(config.debug_console);
        assert_eq!(config.debug_console_vport, 1026);
        assert_eq!(config.hotplug_timeout, Duration::from_secs(7));
        assert_eq!(config.container_pipe_size, 4096);
        assert_eq!(config.announce_vport, 1023);
    }

    #[test]
    fn nonsense_keeps_the_default_and_warns() {
        for word in [
            "agent.log=loud",
            "agent.log",
            "agent.log_vport=-1",
            "agent.log_vport=",
            "agent.hotplug_timeout=soon",
            "agent.container_pipe_size=99999999999",
            "agent.server_addr=nowhere",
            "agent.announce_vport=0x3ff",
        ] {
            let (config, warnings) = parse(word);
            assert_eq!(config, Config::default(), "{word}");
            assert_eq!(warnings.len(), 1, "{word}");
        }
    }

    #[test]
    fn a_time_out_of_zero_is_the_default() {
        assert_eq!(
            parse("agent.hotplug_timeout=0"),
            (Config::default(), Vec::new())
        );
    }
}
