//! A stand-in for QEMU and for its vsock helper, for the conformance suite: it takes their arguments,
//! holds a machine's state, and speaks QMP as QEMU 7.2 does as far as the backend uses it. One client
//! at a time is served on each monitor; a second is left without a greeting.

mod devices;
mod machine;
mod monitor;
mod sys;

use std::io;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::Arc;

use devices::Devices;
use machine::Machine;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match value(&args, "--vm") {
        Some(words) => help(words),
        None => emulate(&args),
    };
    if let Err(error) = result {
        eprintln!("scripted-qemu: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The helper: it listens where it was told to, serves one QEMU and ends with it.
fn help(words: &str) -> io::Result<()> {
    let socket = member(words, "socket=").ok_or_else(|| missing("socket="))?;
    let listener = UnixListener::bind(socket)?;
    let (mut stream, _) = listener.accept()?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

fn emulate(args: &[String]) -> io::Result<()> {
    // Held as long as the machine lives.
    let _vsock = match chardev(args, "vsock").and_then(|words| member(words, "path=")) {
        Some(path) => Some(std::os::unix::net::UnixStream::connect(path)?),
        None => None,
    };
    let machine = Arc::new(Machine::new(Devices::of(args)));
    for name in ["ctl", "mon"] {
        let number = chardev(args, name).and_then(|words| member(words, "fd="));
        let number = number.and_then(|number| number.parse().ok());
        let listener = sys::inherited_listener(number.ok_or_else(|| missing(name))?)?;
        let machine = Arc::clone(&machine);
        std::thread::spawn(move || monitor::serve(&listener, &machine));
    }
    machine.until_it_ends();
    Ok(())
}

/// The argument after `name`.
fn value<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1).map(String::as_str)
}

/// The value of the `-chardev` with this id.
fn chardev<'a>(args: &'a [String], id: &str) -> Option<&'a str> {
    let id = format!("id={id}");
    let pairs = args.iter().zip(args.iter().skip(1));
    pairs
        .filter(|(name, _)| *name == "-chardev")
        .map(|(_, words)| words.as_str())
        .find(|words| words.split(',').any(|word| word == id))
}

/// The rest of the comma separated word that begins so.
pub(crate) fn member<'a>(words: &'a str, start: &str) -> Option<&'a str> {
    words.split(',').find_map(|word| word.strip_prefix(start))
}

fn missing(what: &str) -> io::Error {
    io::Error::other(format!("{what} is missing on the command line"))
}
