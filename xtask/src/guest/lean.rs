//! Kernel modules without what a guest of ours does not need, and an emulated processor takes long
//! for: the signature, which nothing in the guest insists on, and type information (BTF), for which
//! the kernel reads all of its own when the first module brings some.

/// What a signed module ends with (linux/module_signature.h).
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// The length of the description before that, which ends with the signature's length.
const DESCRIPTION: usize = 12;
/// The name of the section with type information.
const TYPES: &[u8] = b".BTF\0";

/// The module without signature and type information; as it is where it has neither, or is of
/// another form than expected.
pub(super) fn lean(module: &[u8]) -> Vec<u8> {
    let mut module = unsigned(module).unwrap_or(module).to_vec();
    if let Some(size) = types_size(&module) {
        module[size..size + 8].fill(0);
    }
    module
}

fn unsigned(module: &[u8]) -> Option<&[u8]> {
    let rest = module.strip_suffix(SIGNED)?;
    let (rest, description) = rest.split_at_checked(rest.len().checked_sub(DESCRIPTION)?)?;
    let length = u32::from_be_bytes(description.last_chunk()?.to_owned());
    let end = rest.len().checked_sub(usize::try_from(length).ok()?)?;
    rest.get(..end)
}

/// Where the size of the section with type information is written (ELF-64, little-endian). The kernel
/// takes a section without content for none.
fn types_size(module: &[u8]) -> Option<usize> {
    if !module.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = number::<8>(module, 0x28)?;
    let each = number::<2>(module, 0x3a)?;
    let count = number::<2>(module, 0x3c)?;
    let names = table.checked_add(each.checked_mul(number::<2>(module, 0x3e)?)?)?;
    let names = number::<8>(module, names.checked_add(0x18)?)?;
    (0..count)
        .filter_map(|index| table.checked_add(each.checked_mul(index)?))
        .find(|section| {
            let name = number::<4>(module, *section).and_then(|name| names.checked_add(name));
            name.and_then(|name| module.get(name..)?.get(..TYPES.len())) == Some(TYPES)
        })
        .and_then(|section| section.checked_add(0x20))
        .filter(|size| {
            module
                .len()
                .checked_sub(8)
                .is_some_and(|last| *size <= last)
        })
}

fn number<const BYTES: usize>(module: &[u8], at: usize) -> Option<usize> {
    let bytes = module.get(at..at.checked_add(BYTES)?)?;
    let number = bytes
        .iter()
        .rev()
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three sections: none, one with content, and the names of both.
    fn module(name: &[u8]) -> Vec<u8> {
        let names = [b"\0", name, b"\0.names\0"].concat();
        let mut module = vec![0; 0x40];
        module[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let content = module.len();
        module.extend(b"0123456789");
        let at = module.len();
        module.extend(&names);
        let table = module.len();
        for (name, offset, size) in [
            (0, 0, 0),
            (1, content, 10),
            (name.len() + 2, at, names.len()),
        ] {
            let mut section = [0; 0x40];
            section[0] = u8::try_from(name).unwrap();
            section[0x18] = u8::try_from(offset).unwrap();
            section[0x20] = u8::try_from(size).unwrap();
            module.extend(section);
        }
        for (at, number) in [(0x28, table), (0x3a, 0x40), (0x3c, 3), (0x3e, 2)] {
            module[at] = u8::try_from(number).unwrap();
        }
        module
    }

    fn signed(module: &[u8]) -> Vec<u8> {
        let mut description = [0; DESCRIPTION];
        description[DESCRIPTION - 1] = 3;
        [module, b"sig", &description, SIGNED].concat()
    }

    #[test]
    fn a_signature_goes() {
        let module = module(b".text");
        assert_eq!(lean(&signed(&module)), module);
        assert_eq!(lean(&module), module);
    }

    #[test]
    fn type_information_has_no_content_any_more() {
        let module = module(b".BTF");
        let table = usize::from(module[0x28]);
        let mut expected = module.clone();
        expected[table + 0x40 + 0x20] = 0;
        assert_ne!(expected, module);
        assert_eq!(lean(&signed(&module)), expected);
    }

    #[test]
    fn what_is_no_module_stays() {
        let mut torn = module(b".BTF");
        torn.truncate(0x50);
        for content in [&b""[..], b"\x7fELF", b"\x7fELF\x02\x01", &torn, SIGNED] {
            assert_eq!(lean(content), content);
        }
    }
}
