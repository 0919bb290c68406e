//! Guests of a few instructions, booted like a Linux kernel: an ELF file with a PVH note
//! (xen/include/public/arch-x86/hvm/start_info.h; entry in 32-bit protected mode, paging off).

/// What a guest does after it has written `up` to its first serial port.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guest {
    /// Halts its CPU.
    Halts,
    /// Powers off by ACPI: the PM1a control register that QEMU's Q35 has at 0x604.
    PowersOff,
    /// Lets go of every device of a bridge that it is asked for, until it is ended: it asks the
    /// registers of ACPI's PCI hot-plug (docs/specs/acpi_pci_hotplug.rst of QEMU; at 0xcc0 in a Q35)
    /// again and again.
    LetsGo,
    /// Has no PVH note, so that QEMU refuses it.
    IsNoKernel,
}

const LOAD_ADDRESS: u32 = 0x10_0000;
const HEADERS: usize = 64 + 2 * 56;
const NOTE: usize = 20;

impl Guest {
    /// The file's bytes.
    pub(crate) fn image(self) -> Vec<u8> {
        let code = self.code();
        let code_offset = HEADERS + NOTE;
        let entry = LOAD_ADDRESS + u32::try_from(code_offset).expect("a small number");
        let length = code_offset + code.len();
        let mut image = elf_header(entry);
        image.extend(program_header(1, 0, LOAD_ADDRESS, length));
        let note_address = LOAD_ADDRESS + u32::try_from(HEADERS).expect("a small number");
        let note_type = match self {
            Self::IsNoKernel => 0,
            Self::Halts | Self::PowersOff | Self::LetsGo => 4,
        };
        image.extend(program_header(note_type, HEADERS, note_address, NOTE));
        image.extend(pvh_note(entry));
        image.extend(code);
        image
    }

    fn code(self) -> Vec<u8> {
        let mut code = vec![0xba, 0xf8, 0x03, 0, 0]; // mov edx, 0x3f8
        for byte in b"up\n" {
            code.extend([0xb0, *byte, 0xee]); // mov al, byte; out dx, al
        }
        if matches!(self, Self::PowersOff) {
            code.extend([0xba, 0x04, 0x06, 0, 0]); // mov edx, 0x604
            code.extend([0xb8, 0x00, 0x20, 0, 0]); // mov eax, 0x2000 (sleep type 0, sleep enable)
            code.extend([0x66, 0xef]); // out dx, ax
        }
        if matches!(self, Self::LetsGo) {
            code.extend(let_go());
        }
        code.extend([0xfa, 0xf4, 0xeb, 0xfc]); // cli; again: hlt; jmp again
        code
    }
}

/// An endless loop over the four buses that are likeliest to take devices.
fn let_go() -> Vec<u8> {
    vec![
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
    ]
}

fn elf_header(entry: u32) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend(2_u16.to_le_bytes()); // executable
    header.extend(62_u16.to_le_bytes()); // x86-64
    header.extend(1_u32.to_le_bytes());
    header.extend(u64::from(entry).to_le_bytes());
    header.extend(64_u64.to_le_bytes()); // program headers follow
    header.extend(0_u64.to_le_bytes()); // no section headers
    header.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 2, 0, 0, 0] {
        header.extend(half.to_le_bytes());
    }
    header
}

fn program_header(kind: u32, offset: usize, address: u32, length: usize) -> Vec<u8> {
    let mut header = kind.to_le_bytes().to_vec();
    header.extend(7_u32.to_le_bytes()); // read, write, execute
    let address = u64::from(address);
    for value in [
        offset as u64,
        address,
        address,
        length as u64,
        length as u64,
        4,
    ] {
        header.extend(value.to_le_bytes());
    }
    header
}

/// XEN_ELFNOTE_PHYS32_ENTRY.
fn pvh_note(entry: u32) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4_u32, 4, 18] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend(entry.to_le_bytes());
    assert_eq!(note.len(), NOTE);
    note
}
