//! How deep a program's stack can get. The verifier tells the frame of each function, in the order in
//! which they stand in the program; who calls whom is read from the instructions.

use std::collections::BTreeSet;

use libbpf_rs::libbpf_sys::{
    BPF_CALL, BPF_DW, BPF_IMM, BPF_JMP, BPF_LD, BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, bpf_insn,
};

/// To this the verifier rounds up every frame (kernel/bpf/verifier.c, `round_up_stack_depth`; newer
/// kernels with a JIT round less).
const FRAME_UNIT: u32 = 32;

/// Bytes of the deepest chain of calls. `log` holds the verifier's statistics; `None` if they do not
/// fit the program.
pub fn deepest(log: &str, instructions: &[bpf_insn]) -> Option<u32> {
    let depths = log
        .lines()
        .find_map(|line| line.strip_prefix("stack depth "))?;
    let frames: Vec<u32> = depths
        .split_whitespace()
        .next()?
        .split('+')
        .map(|depth| depth.parse().ok())
        .collect::<Option<_>>()?;
    let starts: Vec<usize> = instructions
        .iter()
        .enumerate()
        .filter_map(|(at, instruction)| callee(at, instruction))
        .chain([0])
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if frames.len() != starts.len() {
        return None;
    }
    let functions = Functions {
        instructions,
        starts,
        frames,
    };
    Some(functions.depth_from(0))
}

struct Functions<'a> {
    instructions: &'a [bpf_insn],
    starts: Vec<usize>,
    frames: Vec<u32>,
}

impl Functions<'_> {
    /// Of a function and the deepest that it calls. It ends: the verifier refuses recursion.
    fn depth_from(&self, function: usize) -> u32 {
        let first = self.starts[function];
        let end = self.starts.get(function + 1).copied();
        let body = first..end.unwrap_or(self.instructions.len());
        let called = body
            .filter_map(|at| callee(at, &self.instructions[at]))
            .filter_map(|start| self.starts.binary_search(&start).ok())
            .map(|callee| self.depth_from(callee))
            .max();
        let frame = self.frames[function].max(1).next_multiple_of(FRAME_UNIT);
        frame + called.unwrap_or(0)
    }
}

/// Where the function begins that this instruction calls, or hands to a helper to be called.
fn callee(at: usize, instruction: &bpf_insn) -> Option<usize> {
    let code = u32::from(instruction.code);
    let source = u32::from(instruction.src_reg());
    let calls = code == BPF_JMP | BPF_CALL && source == BPF_PSEUDO_CALL;
    let refers = code == BPF_LD | BPF_IMM | BPF_DW && source == BPF_PSEUDO_FUNC;
    if calls || refers {
        (at + 1).checked_add_signed(instruction.imm as isize)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(distance: i32) -> bpf_insn {
        let mut instruction = bpf_insn {
            code: (BPF_JMP | BPF_CALL) as u8,
            imm: distance,
            ..Default::default()
        };
        instruction.set_src_reg(BPF_PSEUDO_CALL as u8);
        instruction
    }

    #[test]
    fn the_deepest_chain_counts_not_the_sum() {
        let other = bpf_insn::default();
        // 0 calls 3 and 4; 4 calls 6.
        let program = [call(2), call(2), other, other, call(1), other, other];
        let log = "verification time 7 usec\nstack depth 100+200+8+0\nprocessed 7 insns";
        assert_eq!(deepest(log, &program), Some(128 + 224));
        let log = log.replace("200", "40");
        assert_eq!(deepest(&log, &program), Some(128 + 64));
    }

    #[test]
    fn a_log_of_another_program_is_noticed() {
        assert_eq!(deepest("stack depth 8+8", &[bpf_insn::default()]), None);
        assert_eq!(deepest("", &[bpf_insn::default()]), None);
    }
}
