//! Compiles the packet path once, and generates its skeleton.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "src/bpf/bridgewall.bpf.c";

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=src/bpf");
    println!("cargo:rerun-if-env-changed=BRIDGEWALL_CLANG");

    // Tests build the programs again, with faults in them.
    let own = env::current_exe().context("find the build script itself")?;
    println!("cargo:rustc-env=BRIDGEWALL_BUILD_SCRIPT={}", own.display());

    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let clang = clang()?;
    SkeletonBuilder::new()
        .source(SOURCE)
        .obj(out.join("bridgewall.bpf.o"))
        .clang(&clang)
        .clang_args(
            ["-O2", "-Wall", "-Wextra", "-Werror", "-mcpu=v3"]
                .into_iter()
                .chain(multiarch_include().iter().map(String::as_str)),
        )
        .build_and_generate(out.join("bridgewall.skel.rs"))
        .with_context(|| format!("compile {SOURCE} with {}", clang.display()))
}

/// The compiler: `BRIDGEWALL_CLANG`, else the newest one that is installed.
fn clang() -> Result<PathBuf> {
    if let Some(chosen) = env::var_os("BRIDGEWALL_CLANG") {
        return Ok(chosen.into());
    }
    let names = (14..=22)
        .rev()
        .map(|version| format!("clang-{version}"))
        .chain(["clang".into()]);
    for name in names {
        let runs = Command::new(&name)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success());
        if runs {
            return Ok(name.into());
        }
    }
    bail!("no clang found: install clang 14 or newer, or name one in BRIDGEWALL_CLANG")
}

/// Debian keeps `asm/types.h` below the architecture's name, where `-target bpf` does not look.
fn multiarch_include() -> Vec<String> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let path = format!("/usr/include/{arch}-linux-gnu");
    if Path::new(&path).is_dir() {
        vec![format!("-I{path}")]
    } else {
        Vec::new()
    }
}
