/* A QEMU plugin that counts the reads of a microcontroller's flash, behind a model of the cache that the chip has in front of it, and the instructions
 * that take a core more than one cycle. The counts are the same in every run.
 *
 * Writes to standard error "flash mark N" and the sums so far, as "NAME VALUE" pairs, each time the guest executes the mark of tests/boards/icount.c:
 *
 *   instructions           executed
 *   reads, writes          accesses to memory, flash or other
 *   behind                 instructions that read memory right behind another one that does
 *   taken                  jumps: an instruction that does not lie behind the one before it
 *   fma, div               float products that are added, on a Cortex-M4F three cycles; float quotients and roots, fourteen
 *   code, code_next        lines that the cache fetches for instructions, and those of them that lie right behind the line fetched before
 *   data, data_next        the same for what instructions read from the flash; without a cache each access is a line
 *   ram                    lines that the data cache fetches from other memory
 *
 * Arguments: flash=FIRST-LAST (addresses, may be given three times); cache=BYTES/LINE/WAYS for instructions and data, or icache= and dcache= for each; dcache=0/4/0 is
 * none; ram=FIRST-LAST is other memory behind the data cache. Lines are replaced by age (LRU).
 *
 * Nothing is counted up to the second mark, behind the self-test, which is long.
 *
 * The interface is version 1 (QEMU 4.2 to 8), declared here for the reason that icount.c gives.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct {
    const char *target_name;
    struct { int min, cur; } version;
    int system_emulation;
    struct { int smp_vcpus, max_vcpus; } system;
} qemu_info_t;
enum { QEMU_PLUGIN_CB_NO_REGS };
enum { QEMU_PLUGIN_MEM_RW = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*)(unsigned, qemu_plugin_meminfo_t, uint64_t, void *), int flags, int rw, void *);
_Bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);
void qemu_plugin_reset(qemu_plugin_id_t, void (*)(qemu_plugin_id_t));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

struct range { uint32_t first, last; };
static struct range flash[3], ram;
static unsigned n_flash;

/* Tags are line numbers plus one, the newest of a set first; 0 is empty. */
struct cache { uint32_t line, ways, sets, *tags, fetched; };
static struct cache caches[2], *icache = &caches[0], *dcache = &caches[0];

static uint64_t instructions, reads, writes, behind, taken, fma, divisions, code[2], data[2], from_ram;

static int is_in(struct range range, uint32_t address)
{
    return address >= range.first && address <= range.last;
}

static int is_flash(uint32_t address)
{
    return is_in(flash[0], address) || is_in(flash[1], address) || is_in(flash[2], address);
}

/* Looks a line up and makes it the newest of its set. Returns 1 if it was there. */
static int has(struct cache *cache, uint32_t line)
{
    if (!cache->ways)
        return 0;
    uint32_t *set = cache->tags + line % cache->sets * cache->ways, i = 0;
    while (i < cache->ways - 1 && set[i] != line + 1)
        i++;
    int found = set[i] == line + 1;
    memmove(set + 1, set, i * sizeof *set);
    set[0] = line + 1;
    return found;
}

/* An access to the flash; counts are of lines, and of those that lie behind the one before. */
static void read_flash(struct cache *cache, uint32_t line, uint64_t counts[2])
{
    if (has(cache, line))
        return;
    counts[0]++;
    counts[1] += line == cache->fetched + 1;
    cache->fetched = line;
}

/* A block of instructions that are executed one after another. */
struct block { uint32_t first, end, n, fma, divisions; };
static uint32_t expected, reader, behind_reader;

static void on_block(unsigned cpu, void *arg)
{
    const struct block *block = arg;
    (void)cpu;
    instructions += block->n;
    fma += block->fma;
    divisions += block->divisions;
    reader = 0;
    taken += block->first != expected;
    expected = block->end;
    if (is_flash(block->first))
        for (uint32_t line = block->first / icache->line; line <= (block->end - 1) / icache->line; line++)
            read_flash(icache, line, code);
}

/* Address of an instruction, and of the one behind it. */
struct place { uint32_t first, end; };

static void on_access(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void *arg)
{
    const struct place *place = arg;
    (void)cpu;
    if (qemu_plugin_mem_is_store(info)) {
        writes++;
    } else {
        reads++;
        behind += place->first == behind_reader && place->first != reader;
        reader = place->first;
        behind_reader = place->end;
    }
    uint32_t line = (uint32_t)address / dcache->line;
    if (is_flash((uint32_t)address))
        read_flash(dcache, line, data);
    else if (is_in(ram, (uint32_t)address))
        from_ram += !has(dcache, line);
}

static const char *mark = "\xc9\x46";
static size_t mark_size = 2;
static int is_arm = 1;
static unsigned marks;

static qemu_plugin_id_t plugin;
static void on_translation(qemu_plugin_id_t, struct qemu_plugin_tb *);

/* Translates everything anew, with the calls that count. */
static void begin(qemu_plugin_id_t id)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
}

static void on_mark(unsigned cpu, void *unused)
{
    (void)cpu, (void)unused;
    fprintf(stderr, "flash mark %u instructions %" PRIu64 " reads %" PRIu64 " writes %" PRIu64 " behind %" PRIu64 " taken %" PRIu64 " fma %" PRIu64 " div %" PRIu64
            " code %" PRIu64 " code_next %" PRIu64 " data %" PRIu64 " data_next %" PRIu64 " ram %" PRIu64 "\n",
            marks++, instructions, reads, writes, behind, taken, fma, divisions, code[0], code[1], data[0], data[1], from_ram);
    if (marks == 2)
        qemu_plugin_reset(plugin, begin);
}

/* Looks for the mark in an instruction. */
static void find_mark(struct qemu_plugin_insn *insn)
{
    if (qemu_plugin_insn_size(insn) == mark_size && !memcmp(qemu_plugin_insn_data(insn), mark, mark_size))
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

static void on_first_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
        find_mark(qemu_plugin_tb_get_insn(tb, i));
}

/* Arithmetic of the FPU: ARMv7-M manual, A6.4, table A6-1 and its opc1, opc2 and opc3. */
static void count_float(const uint16_t *halves, struct block *block)
{
    if ((halves[0] & 0xff00) != 0xee00 || (halves[1] & 0x0e10) != 0x0a00)
        return;
    switch (halves[0] >> 5 & 4 | halves[0] >> 4 & 3) {
        case 0: case 1: case 5: case 6: block->fma++; break;
        case 4: block->divisions++; break;
        case 7: block->divisions += (halves[0] & 15) == 1 && (halves[1] & 0xc0) == 0xc0; break;
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    struct block *block = calloc(1, sizeof *block);
    struct place *places = calloc(n, sizeof *places);
    (void)id;
    block->n = n;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t size = qemu_plugin_insn_size(insn);
        places[i].first = qemu_plugin_insn_vaddr(insn);
        places[i].end = places[i].first + size;
        if (is_arm && size == 4) {
            uint16_t halves[2];
            memcpy(halves, qemu_plugin_insn_data(insn), 4);
            count_float(halves, block);
        }
        find_mark(insn);
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, &places[i]);
    }
    block->first = places[0].first;
    block->end = places[n - 1].end;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
}

static int set_range(struct range *range, const char *text)
{
    return sscanf(text, "%" SCNx32 "-%" SCNx32, &range->first, &range->last) == 2;
}

static int set_cache(struct cache *cache, const char *text)
{
    uint32_t bytes;
    if (sscanf(text, "%" SCNu32 "/%" SCNu32 "/%" SCNu32, &bytes, &cache->line, &cache->ways) != 3 || !cache->line)
        return 0;
    if (cache->ways) {
        cache->sets = bytes / cache->line / cache->ways;
        cache->tags = calloc(cache->sets * cache->ways, sizeof *cache->tags);
    }
    return !cache->ways || cache->sets;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    flash[0] = flash[1] = flash[2] = ram = (struct range) { 1, 0 };
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        int is_right = value != NULL;
        if (is_right && !strncmp(argv[i], "flash=", 6))
            is_right = n_flash < sizeof flash / sizeof *flash && set_range(&flash[n_flash++], value + 1);
        else if (is_right && !strncmp(argv[i], "ram=", 4))
            is_right = set_range(&ram, value + 1);
        else if (is_right && (!strncmp(argv[i], "cache=", 6) || !strncmp(argv[i], "icache=", 7)))
            is_right = set_cache(&caches[0], value + 1);
        else if (is_right && !strncmp(argv[i], "dcache=", 7))
            is_right = set_cache(dcache = &caches[1], value + 1);
        else
            is_right = 0;
        if (!is_right) {
            fprintf(stderr, "flash.c: '%s' is no argument\n", argv[i]);
            return 1;
        }
    }
    if (!icache->line || !n_flash) {
        fprintf(stderr, "flash.c: flash= and cache= are needed\n");
        return 1;
    }
    if (!strcmp(info->target_name, "riscv32"))
        mark = "\x13\x20\x10\x00", mark_size = 4, is_arm = 0;
    plugin = id;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_first_translation);
    return 0;
}
