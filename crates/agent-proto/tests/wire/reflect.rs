//! Decoding by reflection over the proto files, independent of the generated code.

use std::path::Path;

use protobuf::descriptor::{FileDescriptorProto, MethodDescriptorProto};
use protobuf::reflect::FileDescriptor;
use protobuf_json_mapping::PrintOptions;
use serde_json::Value;

/// The proto files of this crate, parsed at run time.
pub(crate) struct Reflection {
    files: Vec<FileDescriptor>,
    methods: Vec<(String, MethodDescriptorProto)>,
}

impl Reflection {
    pub(crate) fn new() -> Self {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
        let parsed = protobuf_parse::Parser::new()
            .pure()
            .include(&proto)
            .input(proto.join("agent.proto"))
            .input(proto.join("health.proto"))
            .parse_and_typecheck()
            .unwrap();
        Self {
            methods: parsed.file_descriptors.iter().flat_map(methods).collect(),
            files: FileDescriptor::new_dynamic_fds(parsed.file_descriptors, &[]).unwrap(),
        }
    }

    /// The names of request and response of a method.
    pub(crate) fn messages(&self, service: &str, method: &str) -> Option<(String, String)> {
        let (_, found) = self
            .methods
            .iter()
            .find(|(owner, candidate)| owner == service && candidate.name() == method)?;
        Some((
            found.input_type().to_owned(),
            found.output_type().to_owned(),
        ))
    }

    /// All methods of a service, in order.
    pub(crate) fn methods_of(&self, service: &str) -> Vec<String> {
        let of_service = self.methods.iter().filter(|(owner, _)| owner == service);
        of_service
            .map(|(_, method)| method.name().to_owned())
            .collect()
    }

    /// The JSON of an encoded message, with the field names of the proto files.
    pub(crate) fn json(&self, message: &str, bytes: &[u8]) -> Value {
        let full = message.trim_start_matches('.');
        let descriptor = self
            .files
            .iter()
            .flat_map(FileDescriptor::messages)
            .find(|candidate| candidate.full_name() == full || candidate.name() == full)
            .unwrap();
        let decoded = descriptor.parse_from_bytes(bytes).unwrap();
        let options = PrintOptions {
            proto_field_name: true,
            ..Default::default()
        };
        let printed = protobuf_json_mapping::print_to_string_with_options(&*decoded, &options);
        serde_json::from_str(&printed.unwrap()).unwrap()
    }
}

fn methods(file: &FileDescriptorProto) -> Vec<(String, MethodDescriptorProto)> {
    let package = file.package().to_owned();
    let of_service = |service: &protobuf::descriptor::ServiceDescriptorProto| {
        let owner = format!("{package}.{}", service.name());
        let methods = service.method.iter();
        methods
            .map(|method| (owner.clone(), method.clone()))
            .collect::<Vec<_>>()
    };
    file.service.iter().flat_map(of_service).collect()
}
