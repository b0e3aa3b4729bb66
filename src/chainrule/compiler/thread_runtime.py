"""The native half of the thread pool, as LLVM assembly.

Every wait is the same: look at a 32-bit word until it differs from an old value, for a
bounded number of turns, then sleep in the kernel. Who changes a word wakes the
sleepers, if there are any. Both sides write their own word (sequentially consistent)
before they read the other's: the sleeper sees the change or the waker the sleeper.

A worker has a slot of its own with the call to make and an epoch that goes up when
there is one, so that a launch touches nobody who takes no part in it.
"""

from __future__ import annotations

MAXIMUM_THREADS = 256
# Two lines of 64 bytes: processors fetch lines in pairs.
_LINE = 128
# What Linux calls futex, by architecture.
_FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "powerpc64le": 221}
_RELAX = {
    "x86_64": 'call void asm sideeffect "pause", ""()',
    "aarch64": 'call void asm sideeffect "isb", ""()',
    "arm64": 'call void asm sideeffect "isb", ""()',
}

_DATA = """
; epoch, sleepers, claimed, entry, context, count
%slot = type {{ i32, i32, i32, ptr, ptr, i64, [{pad} x i8] }}
@slots = internal global [{slots} x %slot] zeroinitializer, align {line}
; workers that are not done, sleepers
@pending = internal global [2 x i32] zeroinitializer, align {line}
@busy = internal global i32 0, align {line}
@turns = internal global i32 0, align {line}
"""

_WAITING = """
define internal void @await(ptr %word, i32 %old, ptr %sleepers) noinline nounwind {{
start:
  %turns = load atomic i32, ptr @turns monotonic, align 4
  br label %look
look:
  %turn = phi i32 [ 0, %start ], [ %next, %relax ]
  %now = load atomic i32, ptr %word acquire, align 4
  %same = icmp eq i32 %now, %old
  br i1 %same, label %relax, label %changed
relax:
  {relax}
  %next = add i32 %turn, 1
  %more = icmp ult i32 %next, %turns
  br i1 %more, label %look, label %tire
tire:
  %others = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %check
check:
  %then = load atomic i32, ptr %word seq_cst, align 4
  %still = icmp eq i32 %then, %old
  br i1 %still, label %sleep, label %woken
sleep:
  call void @sleep_while(ptr %word, i32 %old)
  br label %check
woken:
  %rest = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %changed
changed:
  ret void
}}

define internal void @rouse(ptr %word, ptr %sleepers) nounwind {{
  %count = load atomic i32, ptr %sleepers seq_cst, align 4
  %any = icmp ne i32 %count, 0
  br i1 %any, label %wake, label %leave
wake:
  call void @wake_all(ptr %word)
  br label %leave
leave:
  ret void
}}

define internal void @change(ptr %word, i32 %new, ptr %sleepers) nounwind {{
  store atomic i32 %new, ptr %word seq_cst, align 4
  call void @rouse(ptr %word, ptr %sleepers)
  ret void
}}

define void @chainrule_turns(i64 %count) nounwind {{
start:
  br label %look
look:
  %turn = phi i64 [ 0, %start ], [ %next, %look ]
  %now = load atomic i32, ptr @turns acquire, align 4
  {relax}
  %next = add i64 %turn, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %look, label %leave
leave:
  ret void
}}
"""

_FUTEX = """
declare i64 @syscall(i64, ...)
define internal void @sleep_while(ptr %word, i32 %old) nounwind {{
  %wide = zext i32 %old to i64
  %code = call i64 (i64, ...)
    @syscall(i64 {futex}, ptr %word, i64 128, i64 %wide, ptr null)
  ret void
}}
define internal void @wake_all(ptr %word) nounwind {{
  %code = call i64 (i64, ...)
    @syscall(i64 {futex}, ptr %word, i64 129, i64 2147483647)
  ret void
}}
define internal void @prepare_waiting() nounwind {{
  ret void
}}
"""

# One condition for all words: a wake-up for another word costs one more look.
_CONDITION = """
@mutex = internal global [256 x i8] zeroinitializer, align 128
@condition = internal global [256 x i8] zeroinitializer, align 128
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
define internal void @sleep_while(ptr %word, i32 %old) nounwind {{
  %lock = call i32 @pthread_mutex_lock(ptr @mutex)
  br label %check
check:
  %now = load atomic i32, ptr %word seq_cst, align 4
  %same = icmp eq i32 %now, %old
  br i1 %same, label %sleep, label %leave
sleep:
  %code = call i32 @pthread_cond_wait(ptr @condition, ptr @mutex)
  br label %check
leave:
  %unlock = call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}}
define internal void @wake_all(ptr %word) nounwind {{
  %lock = call i32 @pthread_mutex_lock(ptr @mutex)
  %code = call i32 @pthread_cond_broadcast(ptr @condition)
  %unlock = call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}}
define internal void @prepare_waiting() nounwind {{
  %mutex = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %condition = call i32 @pthread_cond_init(ptr @condition, ptr null)
  ret void
}}
"""

# Rounding to nearest, subnormal numbers kept: a caller whose mode some library has
# changed computes its share as the workers do theirs. What is called may go over to
# subnormal numbers read and written as 0; that ends with the share.
_SHARE_X86 = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define void @chainrule_flush_to_zero() nounwind {{
  %mode = alloca i32
  store i32 40896, ptr %mode
  call void @llvm.x86.sse.ldmxcsr(ptr %mode)
  ret void
}}
define internal void @share(ptr %entry, ptr %context, i64 %id, i64 %count) nounwind {{
  %saved = alloca i32
  %plain = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %saved)
  store i32 8064, ptr %plain
  call void @llvm.x86.sse.ldmxcsr(ptr %plain)
  call void %entry(ptr %context, i64 %id, i64 %count)
  call void @llvm.x86.sse.ldmxcsr(ptr %saved)
  ret void
}}
"""

_SHARE_ARM = """
define void @chainrule_flush_to_zero() nounwind {{
  call void asm sideeffect "msr fpcr, $0", "r"(i64 16777216)
  ret void
}}
define internal void @share(ptr %entry, ptr %context, i64 %id, i64 %count) nounwind {{
  %saved = call i64 asm sideeffect "mrs $0, fpcr", "=r"()
  call void asm sideeffect "msr fpcr, $0", "r"(i64 0)
  call void %entry(ptr %context, i64 %id, i64 %count)
  call void asm sideeffect "msr fpcr, $0", "r"(i64 %saved)
  ret void
}}
"""

_SHARE_PLAIN = """
define void @chainrule_flush_to_zero() nounwind {{
  ret void
}}
define internal void @share(ptr %entry, ptr %context, i64 %id, i64 %count) nounwind {{
  call void %entry(ptr %context, i64 %id, i64 %count)
  ret void
}}
"""

_SHARES = {"x86_64": _SHARE_X86, "aarch64": _SHARE_ARM, "arm64": _SHARE_ARM}

_WORKER = """
define void @chainrule_worker(i64 %id) nounwind {{
start:
  %epoch = getelementptr [{slots} x %slot], ptr @slots, i64 0, i64 %id, i32 0
  %sleepers = getelementptr %slot, ptr %epoch, i64 0, i32 1
  %claimed = getelementptr %slot, ptr %epoch, i64 0, i32 2
  %owner = atomicrmw xchg ptr %claimed, i32 1 acq_rel
  %free = icmp eq i32 %owner, 0
  br i1 %free, label %idle, label %leave
idle:
  %seen = phi i32 [ 0, %start ], [ %now, %work ], [ %now, %last ]
  call void @await(ptr %epoch, i32 %seen, ptr %sleepers)
  %now = load atomic i32, ptr %epoch acquire, align 4
  %entry_at = getelementptr %slot, ptr %epoch, i64 0, i32 3
  %entry = load ptr, ptr %entry_at
  %stop = icmp eq ptr %entry, null
  br i1 %stop, label %leave, label %work
work:
  %context_at = getelementptr %slot, ptr %epoch, i64 0, i32 4
  %context = load ptr, ptr %context_at
  %count_at = getelementptr %slot, ptr %epoch, i64 0, i32 5
  %count = load i64, ptr %count_at
  call void @share(ptr %entry, ptr %context, i64 %id, i64 %count)
  %before = atomicrmw sub ptr @pending, i32 1 seq_cst
  %final = icmp eq i32 %before, 1
  br i1 %final, label %last, label %idle
last:
  call void @rouse(ptr @pending, ptr getelementptr (i32, ptr @pending, i64 1))
  br label %idle
leave:
  ret void
}}
"""

_LAUNCH = """
define internal void @publish(i64 %id, ptr %entry, ptr %context, i64 %count) nounwind {{
  %epoch = getelementptr [{slots} x %slot], ptr @slots, i64 0, i64 %id, i32 0
  %sleepers = getelementptr %slot, ptr %epoch, i64 0, i32 1
  %entry_at = getelementptr %slot, ptr %epoch, i64 0, i32 3
  store ptr %entry, ptr %entry_at
  %context_at = getelementptr %slot, ptr %epoch, i64 0, i32 4
  store ptr %context, ptr %context_at
  %count_at = getelementptr %slot, ptr %epoch, i64 0, i32 5
  store i64 %count, ptr %count_at
  %old = load atomic i32, ptr %epoch monotonic, align 4
  %new = add i32 %old, 1
  call void @change(ptr %epoch, i32 %new, ptr %sleepers)
  ret void
}}

define i64 @chainrule_launch(
    ptr %entry, ptr %context, i64 %count, i32 %turns) nounwind {{
start:
  %many = icmp ugt i64 %count, 1
  br i1 %many, label %claim, label %alone
claim:
  %pair = cmpxchg ptr @busy, i32 0, i32 1 acquire monotonic
  %got = extractvalue {{ i32, i1 }} %pair, 1
  br i1 %got, label %begin, label %alone
begin:
  store atomic i32 %turns, ptr @turns monotonic, align 4
  %narrow = trunc i64 %count to i32
  %others = sub i32 %narrow, 1
  store atomic i32 %others, ptr @pending release, align 4
  br label %tell
tell:
  %id = phi i64 [ 1, %begin ], [ %next, %tell ]
  call void @publish(i64 %id, ptr %entry, ptr %context, i64 %count)
  %next = add i64 %id, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %tell, label %own
own:
  call void @share(ptr %entry, ptr %context, i64 0, i64 %count)
  br label %gather
gather:
  %left = load atomic i32, ptr @pending acquire, align 4
  %all = icmp eq i32 %left, 0
  br i1 %all, label %done, label %wait
wait:
  call void @await(
    ptr @pending, i32 %left, ptr getelementptr (i32, ptr @pending, i64 1))
  br label %gather
done:
  store atomic i32 0, ptr @busy release, align 4
  ret i64 %count
alone:
  call void @share(ptr %entry, ptr %context, i64 0, i64 1)
  ret i64 1
}}

; Ends the workers up to %count, unless a launch is under way; then there are no more.
define i32 @chainrule_stop(i64 %count) nounwind {{
start:
  %pair = cmpxchg ptr @busy, i32 0, i32 1 acquire monotonic
  %got = extractvalue {{ i32, i1 }} %pair, 1
  %any = icmp ugt i64 %count, 1
  %both = and i1 %got, %any
  br i1 %both, label %tell, label %leave
tell:
  %id = phi i64 [ 1, %start ], [ %next, %tell ]
  call void @publish(i64 %id, ptr null, ptr null, i64 0)
  %next = add i64 %id, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %tell, label %leave
leave:
  %code = zext i1 %got to i32
  ret i32 %code
}}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
; For the one thread of a process that has just begun.
define void @chainrule_reset() nounwind {{
  call void @llvm.memset.p0.i64(ptr @slots, i8 0, i64 {slot_bytes}, i1 false)
  call void @llvm.memset.p0.i64(ptr @pending, i8 0, i64 8, i1 false)
  store i32 0, ptr @busy
  call void @prepare_waiting()
  ret void
}}
"""

# generation, sleepers, and in a line of its own: how many have arrived.
_BARRIER = """
define void @chainrule_meet(ptr %barrier, i64 %count) nounwind {{
start:
  %many = icmp ugt i64 %count, 1
  br i1 %many, label %arrive, label %leave
arrive:
  %generation = load atomic i32, ptr %barrier acquire, align 4
  %sleepers = getelementptr i32, ptr %barrier, i64 1
  %arrived = getelementptr i8, ptr %barrier, i64 {arrived}
  %before = atomicrmw add ptr %arrived, i32 1 acq_rel
  %narrow = trunc i64 %count to i32
  %now = add i32 %before, 1
  %last = icmp eq i32 %now, %narrow
  br i1 %last, label %open, label %wait
open:
  store atomic i32 0, ptr %arrived monotonic, align 4
  %next = add i32 %generation, 1
  call void @change(ptr %barrier, i32 %next, ptr %sleepers)
  br label %leave
wait:
  call void @await(ptr %barrier, i32 %generation, ptr %sleepers)
  br label %leave
leave:
  ret void
}}
"""

BARRIER_BYTES = 128
_ARRIVED_OFFSET = 64


def runtime_text(architecture: str, futex: bool) -> str:
    """The module for an architecture.

    Args:
        architecture: the first part of LLVM's triple.
        futex: wait as Linux does; else by a condition variable of POSIX threads.
    """
    waiting = _FUTEX if futex else _CONDITION
    share = _SHARES.get(architecture, _SHARE_PLAIN)
    parts = (_DATA, waiting, _WAITING, share, _WORKER, _LAUNCH, _BARRIER)
    return "".join(parts).format(
        slots=MAXIMUM_THREADS,
        slot_bytes=MAXIMUM_THREADS * _LINE,
        line=_LINE,
        pad=_LINE - 40,
        arrived=_ARRIVED_OFFSET,
        relax=_RELAX.get(architecture, ""),
        futex=_FUTEX_NUMBERS.get(architecture, 0),
    )


def has_futex(platform: str, architecture: str) -> bool:
    """Whether the kernel's own waiting is known for this machine."""
    return platform == "linux" and architecture in _FUTEX_NUMBERS
