//! Encodes a request as it travels to the guest's agent, and reads it back:
//! `cargo run -p virtcontainers-agent-proto --example frame`

use protobuf::Message;
use virtcontainers_agent_proto::{AGENT_PORT, AGENT_SERVICE, agent, oci};

fn main() -> protobuf::Result<()> {
    let process = oci::Process {
        Args: vec!["uname".into(), "-a".into()],
        Cwd: "/".into(),
        ..Default::default()
    };
    let request = agent::CreateContainerRequest {
        container_id: "web".into(),
        OCI: Some(oci::Spec {
            Process: Some(process).into(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    };
    let bytes = request.write_to_bytes()?;
    println!(
        "to {AGENT_SERVICE} on vsock port {AGENT_PORT}: {} bytes",
        bytes.len()
    );
    println!("{}", bytes.escape_ascii());
    let read = agent::CreateContainerRequest::parse_from_bytes(&bytes)?;
    println!(
        "read back: container {}, arguments {:?}",
        read.container_id, read.OCI.Process.Args
    );
    Ok(())
}
