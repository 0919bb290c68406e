//! A guest of a few instructions that QEMU boots like a Linux kernel: an ELF file with a PVH note. It
//! lets go of every device that it is asked for, until it is ended, and does nothing else: a kernel
//! that is not up yet would miss it when a device is to go.

/// Where it is loaded.
const ADDRESS: u32 = 0x10_0000;
/// What comes before the code: the ELF header, two program headers, the note.
const BEFORE: u32 = 64 + 2 * 56 + 20;

/// 32-bit code. It asks the registers of ACPI's PCI hot-plug (docs/specs/acpi_pci_hotplug.rst of QEMU; at
/// 0xcc0 in a Q35) for each of four buses, without end.
const CODE: [u8; 34] = [
    0x31, 0xc9, // xor ecx, ecx
    0x89, 0xc8, // next: mov eax, ecx
    0xba, 0xd0, 0x0c, 0, 0,    // mov edx, 0xcd0 (which bus)
    0xef, // out dx, eax
    0xba, 0xc4, 0x0c, 0, 0,    // mov edx, 0xcc4 (what is to be let go)
    0xed, // in eax, dx
    0x85, 0xc0, // test eax, eax
    0x74, 0x06, // jz after
    0xba, 0xc8, 0x0c, 0, 0,    // mov edx, 0xcc8 (let go)
    0xef, // out dx, eax
    0x41, // after: inc ecx
    0x83, 0xe1, 0x03, // and ecx, 3
    0xf3, 0x90, // pause
    0xeb, 0xe0, // jmp next
];

/// The file's bytes.
pub(crate) fn kernel() -> Vec<u8> {
    let entry = ADDRESS + BEFORE;
    let mut image = b"\x7fELF\x02\x01\x01".to_vec();
    image.resize(16, 0);
    halves(&mut image, &[2, 62]); // executable, x86-64
    words(&mut image, &[1, entry, 0, 64, 0, 0, 0, 0]); // program headers follow, no sections
    halves(&mut image, &[64, 56, 2, 0, 0, 0]);
    let all = BEFORE + u32::try_from(CODE.len()).unwrap_or_default();
    program_header(&mut image, 1, 0, all); // to be loaded
    program_header(&mut image, 4, BEFORE - 20, 20); // a note
    words(&mut image, &[4, 4, 18]); // XEN_ELFNOTE_PHYS32_ENTRY
    image.extend(b"Xen\0");
    words(&mut image, &[entry]);
    image.extend(CODE);
    image
}

fn program_header(image: &mut Vec<u8>, kind: u32, offset: u32, length: u32) {
    let address = ADDRESS + offset;
    words(image, &[kind, 7]); // read, write, execute
    for value in [offset, address, address, length, length, 4] {
        words(image, &[value, 0]);
    }
}

fn words(image: &mut Vec<u8>, words: &[u32]) {
    image.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn halves(image: &mut Vec<u8>, halves: &[u16]) {
    image.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
}
