//! From a bzImage to the ELF inside it. QEMU boots the ELF by its PVH note, which spares the guest
//! from unpacking itself, a large part of a boot under emulation.
//!
//! Source: Documentation/x86/boot.rst of the kernel for the set-up header (protocol 2.08 and
//! later), scripts/Makefile.lib for the payload's formats.

use anyhow::{Context, Result, bail, ensure};

use crate::cmd::Cmd;

const SETUP_SECTS: usize = 0x1f1;
const HEADER_MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;

const LZ4_LEGACY: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const ELF: &[u8] = b"\x7fELF";

/// A legacy LZ4 frame cuts its content into blocks of this size.
const LZ4_BLOCK: usize = 8 << 20;
/// No kernel is larger; a damaged length must not make us reserve memory without end.
const LARGEST: usize = 512 << 20;

/// The ELF inside `image`.
pub(super) fn unpack(image: &[u8]) -> Result<Vec<u8>> {
    let payload = payload(image)?;
    if payload.starts_with(ELF) {
        return Ok(payload.to_vec());
    }
    // All formats but gzip, which has it already, get the unpacked length appended.
    let (body, trailer) = payload
        .split_last_chunk::<4>()
        .context("the payload is empty")?;
    let length = usize::try_from(u32::from_le_bytes(*trailer))?;
    let elf = if let Some(blocks) = body.strip_prefix(LZ4_LEGACY) {
        unpack_lz4(blocks, length)?
    } else if body.starts_with(GZIP) {
        Cmd::new("gzip").arg("-dc").filter(payload)?
    } else if body.starts_with(XZ) {
        Cmd::new("xz").arg("-dc").filter(body)?
    } else if body.starts_with(ZSTD) {
        Cmd::new("zstd").arg("-dc").filter(body)?
    } else {
        let start = &body[..body.len().min(6)];
        bail!("the payload has an unknown format: it begins with {start:02x?}");
    };
    ensure!(
        elf.len() == length,
        "unpacked {} bytes instead of {length}",
        elf.len()
    );
    ensure!(elf.starts_with(ELF), "what was unpacked is not an ELF");
    Ok(elf)
}

fn payload(image: &[u8]) -> Result<&[u8]> {
    ensure!(
        image.get(HEADER_MAGIC..HEADER_MAGIC + 4) == Some(b"HdrS"),
        "not a bzImage"
    );
    let protocol = u16::from_le_bytes([byte(image, PROTOCOL)?, byte(image, PROTOCOL + 1)?]);
    ensure!(
        protocol >= 0x208,
        "boot protocol {protocol:#x} does not tell where the payload is"
    );
    // Zero stands for four, says the protocol, for the sake of very old kernels.
    let sectors = match byte(image, SETUP_SECTS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * SECTOR + word(image, PAYLOAD_OFFSET)?;
    let end = start
        .checked_add(word(image, PAYLOAD_LENGTH)?)
        .context("payload out of bounds")?;
    image
        .get(start..end)
        .context("the payload lies outside the image: is the file cut short?")
}

fn byte(image: &[u8], offset: usize) -> Result<u8> {
    image
        .get(offset)
        .copied()
        .context("the image is shorter than its header")
}

fn word(image: &[u8], offset: usize) -> Result<usize> {
    let bytes = image.get(offset..).and_then(<[u8]>::first_chunk::<4>);
    let bytes = bytes.context("the image is shorter than its header")?;
    Ok(usize::try_from(u32::from_le_bytes(*bytes))?)
}

/// A legacy frame is nothing but blocks, each after its packed length.
fn unpack_lz4(mut rest: &[u8], length: usize) -> Result<Vec<u8>> {
    ensure!(
        length <= LARGEST,
        "the payload claims {length} bytes, more than any kernel"
    );
    let mut unpacked = Vec::with_capacity(length);
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let packed = usize::try_from(u32::from_le_bytes(*head))?;
        ensure!(
            packed <= tail.len(),
            "an LZ4 block reaches beyond the payload"
        );
        let (block, tail) = tail.split_at(packed);
        let block = lz4_flex::block::decompress(block, LZ4_BLOCK).context("a broken LZ4 block")?;
        unpacked.extend_from_slice(&block);
        ensure!(
            unpacked.len() <= length,
            "the payload is longer than it claims"
        );
        rest = tail;
    }
    ensure!(
        rest.is_empty(),
        "{} stray bytes after the last LZ4 block",
        rest.len()
    );
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with one set-up sector whose payload is `payload`.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR];
        image[SETUP_SECTS] = 1;
        image[HEADER_MAGIC..HEADER_MAGIC + 4].copy_from_slice(b"HdrS");
        image[PROTOCOL..PROTOCOL + 2].copy_from_slice(&[0x0f, 0x02]);
        let length = u32::try_from(payload.len()).expect("small");
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    fn lz4_payload(content: &[u8]) -> Vec<u8> {
        let mut payload = LZ4_LEGACY.to_vec();
        for chunk in content.chunks(LZ4_BLOCK) {
            let block = lz4_flex::block::compress(chunk);
            payload.extend(u32::try_from(block.len()).expect("small").to_le_bytes());
            payload.extend(block);
        }
        payload.extend(u32::try_from(content.len()).expect("small").to_le_bytes());
        payload
    }

    fn elf() -> Vec<u8> {
        let mut elf = ELF.to_vec();
        elf.resize(LZ4_BLOCK + 100, 7);
        elf
    }

    #[test]
    fn an_lz4_payload_of_several_blocks_is_unpacked() {
        let unpacked = unpack(&image(&lz4_payload(&elf()))).expect("unpacked");
        assert!(unpacked == elf());
    }

    #[test]
    fn a_gzip_payload_is_unpacked() {
        let elf = [ELF, &[1; 100]].concat();
        let packed = Cmd::new("gzip").arg("-c").filter(&elf).expect("gzip runs");
        assert_eq!(unpack(&image(&packed)).expect("unpacked"), elf);
    }

    #[test]
    fn damage_is_an_error_wherever_the_image_is_cut() {
        let image = image(&lz4_payload(&[ELF, &[1; 100]].concat()));
        for length in 0..image.len() {
            assert!(
                unpack(&image[..length]).is_err(),
                "cut after {length} bytes"
            );
        }
    }

    #[test]
    fn an_unknown_format_is_named_by_its_first_bytes() {
        let error = unpack(&image(&[0xab; 64]))
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("unknown format: it begins with [ab, ab"),
            "{error}"
        );
    }
}
