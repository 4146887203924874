/* A QEMU plugin that counts the guest's instructions: the same number in every run, whatever the host does.
 *
 * Writes to standard error "icount mark N total T delta D" each time the guest executes a mark, an instruction that does
 * nothing and that no compiler emits (Thumb `mov r9, r9`, A64 `mov x18, x18`, RISC-V `slti zero, zero, 1`), and "icount total T" at the end.
 * With the argument cpu0=1 only the first processor counts.
 *
 *     gcc -O2 -shared -fPIC -o libicount.so icount.c
 *     qemu-system-arm ... -plugin ./libicount.so -kernel ELF
 *
 * The few declarations of QEMU's plugin interface (version 1: QEMU 4.2 to 8) that are needed stand here, since
 * distributions do not package its header. https://www.qemu.org/docs/master/devel/tcg-plugins.html
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct {
    const char *target_name;
    struct { int min, cur; } version;
    int system_emulation;
    struct { int smp_vcpus, max_vcpus; } system;
} qemu_info_t;
enum { QEMU_PLUGIN_CB_NO_REGS };
enum { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int op, void *, uint64_t imm);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *), int flags, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

static uint64_t total, last;
static unsigned marks;
static int only_cpu0;
/* The mark of this guest's processor. */
static const char *mark = "\xc9\x46";
static size_t mark_size = 2;

static int is_mark(const struct qemu_plugin_insn *insn)
{
    return qemu_plugin_insn_size(insn) == mark_size && !memcmp(qemu_plugin_insn_data(insn), mark, mark_size);
}

static void on_mark(unsigned cpu, void *unused)
{
    (void)unused;
    if (only_cpu0 && cpu)
        return;
    fprintf(stderr, "icount mark %u total %" PRIu64 " delta %" PRIu64 "\n", marks++, total, total - last);
    last = total;
}

/* One call a block, with the processor's number: slower than counting inline, which cannot tell processors apart. */
static void on_block(unsigned cpu, void *n)
{
    if (cpu == 0)
        total += (uintptr_t)n;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    if (only_cpu0)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)n);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (!only_cpu0)
            qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &total, 1);
        if (is_mark(insn))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
}

static void at_exit(qemu_plugin_id_t id, void *unused)
{
    (void)id, (void)unused;
    fprintf(stderr, "icount total %" PRIu64 "\n", total);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        only_cpu0 |= !strncmp(argv[i], "cpu0=", 5);
    if (!strcmp(info->target_name, "aarch64"))
        mark = "\xf2\x03\x12\xaa", mark_size = 4;
    else if (!strcmp(info->target_name, "riscv32"))
        mark = "\x13\x20\x10\x00", mark_size = 4;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
