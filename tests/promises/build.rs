//! Another build of the same program: the packet path compiled from changed sources, in the place of
//! the one that the binary carries.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use libbpf_rs::Linker;

/// What the binary under test carries.
const CARRIED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bridgewall.bpf.o"));

/// A change of one of the sources: the file, what is replaced, and by what.
pub type Change<'a> = (&'a str, &'a str, &'a str);

/// A binary with these changes, below a folder.
pub fn build(folder: &Path, name: &str, changes: &[Change<'_>]) -> PathBuf {
    let sources = folder.join(format!("{name}-sources"));
    fs::create_dir_all(&sources).expect("make a folder");
    let original = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bpf");
    for entry in fs::read_dir(original).expect("list the sources").flatten() {
        let mut text = fs::read_to_string(entry.path()).expect("read a source");
        for (file, from, to) in changes {
            if entry.file_name().to_str() == Some(file) {
                assert!(text.contains(from), "{file} has no {from:?}");
                text = text.replace(from, to);
            }
        }
        fs::write(sources.join(entry.file_name()), text).expect("write a source");
    }
    let (compiled, linked) = (folder.join("compiled.o"), folder.join("linked.o"));
    let output = Command::new(clang())
        .args([
            "-g",
            "-O2",
            "-mcpu=v3",
            "-target",
            "bpf",
            "-fno-stack-protector",
            "-c",
        ])
        .arg(format!(
            "-I/usr/include/{}-linux-gnu",
            std::env::consts::ARCH
        ))
        .args(libbpf_headers().map(|folder| format!("-I{}", folder.display())))
        // The object names its sources: shorter names make room for what is changed.
        .arg(format!("-ffile-prefix-map={}=.", sources.display()))
        .arg(sources.join("bridgewall.bpf.c"))
        .arg("-o")
        .arg(&compiled)
        .output()
        .expect("run clang");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Without what is for debuggers, as in the build.
    let mut linker = Linker::new(&linked).expect("start linking");
    linker.add_file(&compiled).expect("link");
    linker.link().expect("link");
    let mut object = fs::read(&linked).expect("read an object");
    assert!(
        object.len() <= CARRIED.len(),
        "{} bytes, room for {}",
        object.len(),
        CARRIED.len()
    );
    object.resize(CARRIED.len(), 0);

    let mut binary = fs::read(env!("CARGO_BIN_EXE_bridgewall")).expect("read the binary");
    let at = (0..binary.len() - CARRIED.len())
        .find(|&at| binary[at..].starts_with(&CARRIED[..64]) && binary[at..].starts_with(CARRIED))
        .expect("the binary carries the packet path");
    binary[at..at + object.len()].copy_from_slice(&object);
    let path = folder.join(format!("bridgewall-{name}"));
    fs::write(&path, binary).expect("write a binary");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
    path
}

/// As build.rs chooses it.
fn clang() -> String {
    if let Ok(chosen) = std::env::var("BRIDGEWALL_CLANG") {
        return chosen;
    }
    let names = (14..=22).rev().map(|version| format!("clang-{version}"));
    names
        .chain(["clang".to_owned()])
        .find(|name| {
            let run = Command::new(name).arg("--version").output();
            run.is_ok_and(|output| output.status.success())
        })
        .expect("there is a clang")
}

/// Where the build of libbpf has left its headers.
fn libbpf_headers() -> Option<PathBuf> {
    let builds = Path::new(env!("OUT_DIR")).ancestors().nth(2)?;
    let mut found: Vec<_> = fs::read_dir(builds)
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("out/include"))
        .filter(|folder| folder.join("bpf/bpf_helpers.h").exists())
        .collect();
    found.pop()
}
