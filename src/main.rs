//! The `bridgewall` command: see [`bridgewall::cli`].

fn main() -> std::process::ExitCode {
    bridgewall::cli::main()
}
