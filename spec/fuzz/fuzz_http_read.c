/* The reader of answers for cosockets, lib/resty/zenlayer/http.lua: whatever the pieces in which
 * bytes come, the answer is the same, and not one byte too many is asked for.
 *
 * Input: FRONT bytes that say how, then bytes as they come from a connection, or those that an
 * answer is made of. Run from the top folder of the sources, where it finds lib/. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../binding/compat.h"
#include "api/zenlayer.h"
#include "fuzz.h"

enum {
    FRONT = 16,
    TUNNEL = 1,
    BUILT = 2,
    SMALL_HEADS = 4,
    TIMES_OUT = 8,
    LARGE_BODIES = 16,
    BYTEWISE_MAX = 4096
};

/* --- Lua -------------------------------------------------------------------------------------- */

/* libFuzzer sees no branches of Lua. It counts these besides: from which line to which it went. */
#if defined(__linux__)
__attribute__((section("__libfuzzer_extra_counters")))
#endif
static uint8_t went[8192];

static void count_line(lua_State *L, lua_Debug *at) {
    static unsigned last;
    if (lua_getinfo(L, "l", at) != 0) {
        unsigned line = (unsigned)at->currentline;
        went[(last * 37 + line) % sizeof went]++;
        last = line;
    }
}

/* Its bound for heads is far beyond what a fuzzer tries: bound(n) sets it. */
static const char set_up[] =
    "jit = jit and jit.off()\n"
    "local http = dofile 'lib/resty/zenlayer/http.lua'\n"
    "local function find(f)\n"
    "    for i = 1, 250 do\n"
    "        local name, value = debug.getupvalue(f, i)\n"
    "        if name == 'HEAD_MAX' then return f, i end\n"
    "        if not name then return end\n"
    "        if type(value) == 'function' then\n"
    "            local found, at = find(value)\n"
    "            if found then return found, at end\n"
    "        end\n"
    "    end\n"
    "end\n"
    "local f, i = assert(find(http.read))\n"
    "return http.read, http.read_tunnel, function(n) debug.setupvalue(f, i, n) end\n";

enum { READ = 1, READ_TUNNEL, BOUND, HANDLED }; /* their places on the stack */

static lua_State *only_state;

static void close_lua(void) {
    lua_close(only_state);
}

/* The one state, with these functions at the bottom of its stack. */
static lua_State *lua(void) {
    lua_State *L = only_state;
    if (L == NULL) {
        only_state = L = luaL_newstate();
        CHECK(L != NULL && atexit(close_lua) == 0);
        luaL_openlibs(L);
        lua_getglobal(L, "package");
        lua_getfield(L, -1, "preload");
        lua_pushcfunction(L, luaopen_zenlayer_core);
        lua_setfield(L, -2, "zenlayer.core");
        lua_settop(L, 0);
        if (luaL_loadstring(L, set_up) != 0 || lua_pcall(L, 0, HANDLED - 1, 0) != 0) {
            (void)fprintf(stderr, "%s\n", lua_tostring(L, -1));
            abort();
        }
        lua_sethook(L, count_line, LUA_MASKLINE, 0);
    }
    return L;
}

/* --- the connection --------------------------------------------------------------------------- */

/* Gives the bytes in pieces. */
static struct connection {
    zl_view text;
    size_t given;
    size_t piece;    /* its length; 0: drawn anew each time */
    uint64_t random; /* for that */
    bool times_out;  /* at the end, where it is closed otherwise */
    bool is_over;
} connection;

static size_t draw(void) {
    connection.random = connection.random * 6364136223846793005u + 1442695040888963407u;
    size_t drawn = (size_t)(connection.random >> 33);
    return 1 + (drawn % 4 == 0 ? drawn / 4 % 200 : drawn / 4 % 8);
}

static int receive(lua_State *L) {
    size_t left = connection.text.len - connection.given;
    size_t len = connection.piece > 0 ? connection.piece : draw();
    CHECK(!connection.is_over); /* that was told once */
    if (left == 0) {
        connection.is_over = true;
        lua_pushnil(L);
        lua_pushstring(L, connection.times_out ? "timeout" : "closed");
        return 2;
    }
    len = len < left ? len : left;
    lua_pushlstring(L, connection.text.data + connection.given, len);
    connection.given += len;
    return 1;
}

/* --- what was read ---------------------------------------------------------------------------- */

typedef struct result {
    int status; /* 0: there is none, but … */
    zl_buf code, message;
    zl_buf head, body;
    bool reusable;
    size_t taken; /* bytes that were asked for */
    bool saw_end;
} result;

static void copy_string(lua_State *L, int index, zl_buf *out) {
    zl_view text;
    CHECK(lua_type(L, index) == LUA_TSTRING);
    text.data = lua_tolstring(L, index, &text.len);
    zl_buf_set(out, text);
}

static void copy_field(lua_State *L, const char *name, zl_buf *out) {
    lua_getfield(L, HANDLED, name);
    copy_string(L, -1, out);
    lua_pop(L, 1);
}

/* What the function says of the bytes, given in pieces of that length. */
static result read_in_pieces(int function, lua_Number most, zl_view text, size_t piece) {
    lua_State *L = lua();
    result r = {0};
    connection.text = text;
    connection.given = 0;
    connection.piece = piece;
    connection.is_over = false;
    lua_settop(L, HANDLED - 1);
    lua_pushvalue(L, function);
    lua_pushcfunction(L, receive);
    lua_pushnumber(L, most);
    if (lua_pcall(L, 2, 3, 0) != 0) {
        (void)fprintf(stderr, "%s\n", lua_tostring(L, -1));
        FAIL("no error is raised");
    }
    if (lua_isnil(L, HANDLED)) {
        copy_string(L, HANDLED + 1, &r.code);
        copy_string(L, HANDLED + 2, &r.message);
    } else if (function == READ_TUNNEL) {
        r.status = (int)lua_tointeger(L, HANDLED);
    } else {
        lua_getfield(L, HANDLED, "status");
        r.status = (int)lua_tointeger(L, -1);
        lua_getfield(L, HANDLED, "reusable");
        r.reusable = lua_toboolean(L, -1) != 0;
        copy_field(L, "head", &r.head);
        copy_field(L, "body", &r.body);
    }
    lua_settop(L, HANDLED - 1);
    r.taken = connection.given;
    r.saw_end = connection.is_over;
    return r;
}

static void free_result(result *r) {
    zl_buf_free(&r->code);
    zl_buf_free(&r->message);
    zl_buf_free(&r->head);
    zl_buf_free(&r->body);
}

static bool same(const zl_buf *a, const zl_buf *b) {
    return zl_view_equal(zl_buf_view(a), zl_buf_view(b));
}

/* What must be true of any result; bytes came one by one, so `taken` is where it ends. Of a chunk
 * two bytes are neither its line's nor its data. */
static void check_result(const result *r, int function, size_t most, size_t bound, zl_view text) {
    CHECK(r->taken <= bound + 3 * most + 8);
    if (r->status == 0) {
        CHECK(r->code.len > 0 && r->message.len > 0);
        CHECK(r->saw_end == (strcmp(r->code.data, "CONNECTION_LOST") == 0 ||
                             strcmp(r->code.data, "TIMEOUT") == 0));
        CHECK(!r->saw_end || r->taken == text.len);
        return;
    }
    CHECK(r->status <= 999 && (r->status >= 200 || function == READ_TUNNEL));
    CHECK(r->body.len <= most && r->head.len <= bound);
    CHECK(!r->reusable || !r->saw_end);
    if (function == READ) { /* the head is in what came, and a body that is not empty is, too */
        CHECK(r->head.len + r->body.len < r->taken);
    }
}

/* The same bytes, in other pieces. `a` is what they are when they come one by one. */
static void check_pieces(const result *a, int function, size_t most, zl_view text, size_t piece) {
    result b = read_in_pieces(function, (lua_Number)most, text, piece);
    bool more_came = b.taken > a->taken;
    if (function == READ_TUNNEL && a->status / 100 == 2 && more_came) {
        CHECK(b.status == 0 && strcmp(b.code.data, "BAD_RESPONSE") == 0);
    } else {
        CHECK(b.status == a->status && same(&b.code, &a->code) && same(&b.message, &a->message));
        CHECK(same(&b.head, &a->head) && same(&b.body, &a->body));
        CHECK(b.reusable == (a->reusable && !more_came));
        CHECK(b.taken >= a->taken);
    }
    free_result(&b);
}

/* --- answers that are made -------------------------------------------------------------------- */

typedef struct made {
    zl_buf text, fields, body;
    int status;
    bool to_end; /* of the connection */
    bool keeps;  /* it, if nothing follows */
} made;

static void add_plain(zl_buf *out, zl_view text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        zl_buf_add_char(out, c >= 0x20 && c != 0x7F ? (char)c : '_');
    }
}

static void add_chunks(made *m, input *in) {
    while (in->left > 0) {
        zl_view chunk = input_text(in, 1 + input_below(in, 40));
        if (chunk.len > 0) {
            zl_buf_addf(&m->text, input_chance(in, 128) ? "%zx" : "%04zX", chunk.len);
            if (input_chance(in, 64)) {
                zl_buf_add_text(&m->text, " ;");
                add_plain(&m->text, input_text(in, 5));
            }
            zl_buf_addf(&m->text, "\r\n");
            zl_buf_add_view(&m->text, chunk);
            zl_buf_add_text(&m->text, "\r\n");
            zl_buf_add_view(&m->body, chunk);
        }
    }
    zl_buf_add_text(&m->text, "0\r\n");
    if (m->body.len % 2 == 1) {
        zl_buf_add_text(&m->text, "X-Sum: 1\r\n");
    }
    zl_buf_add_text(&m->text, "\r\n");
}

/* An answer whose framing, fields and body come from the input. */
static made make_answer(input *in) {
    made m = {.status = 200 + (int)(input_number(in, 2) % 800), .keeps = true};
    unsigned framing = input_byte(in) % 4;
    bool bodiless = m.status == 204 || m.status == 304;
    for (size_t interim = input_below(in, 3); interim > 0; interim--) {
        zl_buf_addf(&m.text, "HTTP/1.1 %d Wait\r\nA: b\r\n\r\n", interim == 1 ? 100 : 103);
    }
    for (size_t count = input_below(in, 4); count > 0; count--) {
        zl_buf_add_text(&m.fields, "X-Field:");
        add_plain(&m.fields, input_text(in, input_byte(in)));
        zl_buf_add_text(&m.fields, "\r\n");
    }
    if (input_chance(in, 64)) {
        zl_buf_add_text(&m.fields, "Connection: keep-alive, Close\r\n");
        m.keeps = false;
    }
    if (framing == 0) {
        zl_buf_add_text(&m.fields, "transfer-encoding: chunked\r\n");
    } else if (framing == 1) {
        m.to_end = !bodiless;
        m.keeps = m.keeps && bodiless;
    } else {
        zl_buf_addf(&m.fields, "Content-Length: %zu\r\n", in->left);
    }
    zl_buf_addf(&m.text, "HTTP/1.1 %d\r\n", m.status);
    zl_buf_add_view(&m.text, zl_buf_view(&m.fields));
    zl_buf_add_text(&m.text, "\r\n");
    if (bodiless) {
        return m;
    } else if (framing == 0) {
        add_chunks(&m, in);
    } else {
        zl_buf_add_view(&m.body, input_rest(in));
        zl_buf_add_view(&m.text, zl_buf_view(&m.body));
    }
    return m;
}

/* It is read as what it is. */
static void check_made(const made *m, const result *r, size_t most, size_t bound) {
    if (r->status == 0) {
        size_t around = m->text.len - m->body.len;
        bool too_large = strcmp(r->code.data, "RESPONSE_TOO_LARGE") == 0;
        CHECK(too_large ? m->body.len > most || around > bound
                        : m->to_end && connection.times_out && r->saw_end);
        return;
    }
    CHECK(r->status == m->status && same(&r->head, &m->fields) && same(&r->body, &m->body));
    CHECK(r->taken == m->text.len && r->reusable == m->keeps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    zl_view front = input_text(&in, FRONT);
    input about = {(const uint8_t *)front.data, front.len};
    unsigned flags = input_byte(&about);
    int function = (flags & TUNNEL) != 0 ? READ_TUNNEL : READ;
    size_t most = input_byte(&about) * (size_t)((flags & LARGE_BODIES) != 0 ? 256 : 1);
    size_t bound = (flags & SMALL_HEADS) != 0 ? 60 + input_below(&about, 256) : 64 * 1024;
    connection.random = input_number(&about, 8);
    connection.times_out = (flags & TIMES_OUT) != 0;
    lua_State *L = lua();
    lua_settop(L, HANDLED - 1);
    lua_pushvalue(L, BOUND);
    lua_pushnumber(L, (lua_Number)bound);
    CHECK(lua_pcall(L, 1, 0, 0) == 0);

    made m = {.status = 0};
    bool built = (flags & BUILT) != 0 && function == READ;
    zl_view text = input_rest(&in);
    if (built) {
        input parts = {(const uint8_t *)text.data, text.len};
        m = make_answer(&parts);
        text = zl_buf_view(&m.text);
    }
    size_t least = text.len <= BYTEWISE_MAX ? 1 : 0; /* longer ones take it too long */
    result a = read_in_pieces(function, (lua_Number)most, text, least);
    if (least == 1) {
        check_result(&a, function, most, bound, text);
        check_pieces(&a, function, most, text, 0);
        check_pieces(&a, function, most, text, SIZE_MAX);
        if (built) {
            check_made(&m, &a, most, bound);
        }
    }
    free_result(&a);
    zl_buf_free(&m.text);
    zl_buf_free(&m.fields);
    zl_buf_free(&m.body);
    return 0;
}
