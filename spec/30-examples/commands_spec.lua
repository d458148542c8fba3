-- What else the README has in blocks: its commands name what there is, its sandboxes run, its C
-- compiles, and its Lua for OpenResty runs in nginx. (The other Lua is in snippets_spec.lua.)
local dns = require "dns"
local every_lua = require "every_lua"
local gateway = require "gateway"
local process = require "process"
local readme = require "readme"
local sandbox = require "sandbox"
local sources = require "sources"

-- The Lua that runs this, in place of the README's: build/lua5.4/, lua5.4, -l:liblua5.4.a.
local FLAVOUR = assert(package.searchpath("zenlayer", package.cpath):match "([^/]+)/zenlayer%.so$")
local LIBRARY = FLAVOUR == "luajit" and "libluajit-5.1.a" or "lib" .. FLAVOUR .. ".a"

-- Replace a text by another, so many times.
local function replace(text, old, new, times)
    local count
    text, count = text:gsub(old:gsub("%p", "%%%0"), (new:gsub("%%", "%%%%")))
    assert(count == times, old .. " in " .. text)
    return text
end

local function with_this_lua(command)
    command = replace(command, "build/lua5.4/", gateway.build() .. "/" .. FLAVOUR .. "/", 1)
    return (command:gsub("liblua5%.4%.a", LIBRARY):gsub("%f[%w]lua5%.4%f[%s)]", function()
        return command:find "^cc " and FLAVOUR or process.lua
    end))
end

-- The commands of a block, without sudo and comments.
local function commands(block)
    local found = {}
    for line in block.text:gsub("\\\n%s*", ""):gmatch "[^\n]+" do
        for command in (line:gsub("%s+#.*$", "") .. " && "):gmatch "(.-)%s+&&%s+" do
            command = command:gsub("^sudo ", ""):gsub('^eval "%$%((.*)%)"$', "%1")
            found[#found + 1] = command
        end
    end
    return found
end

local function has(text, word)
    assert(text:find(word, 1, true), word)
end

-- By its first word, what is true of a command that is not run here.
local checks = {}

function checks.make(words)
    local makefile = process.read "Makefile"
    for _, word in ipairs(words) do
        local variable = word:match "^(%u+)="
        if variable then
            has(makefile, "$(" .. variable .. ")")
        else
            assert(sources.make_targets()[word], word)
        end
    end
end

function checks.git(words)
    assert.equal("clone", words[1])
    has(process.read "rockspec/zenlayer-scm-1.rockspec", '"git+' .. words[2] .. '.git"')
end

function checks.cd(words)
    assert.equal("lua-zenlayer", words[1])
end

function checks.apt(words)
    local known = process.read ".ci/deps"
    for i = 2, #words do
        local pattern = "%f[%w]" .. words[i]:gsub("%p", "%%%0") .. "%f[^%w-]"
        assert(words[i] == "make" or known:find(pattern), words[i])
    end
end

function checks.luarocks(words)
    local general = process.check { "luarocks", "help" }
    local verb
    for i, word in ipairs(words) do
        if word:find "^%-" then
            local help = general .. (verb and process.check { "luarocks", "help", verb } or "")
            assert(help:find(word:gsub("%p", "%%%0") .. "%f[^%w-]"), word)
        elseif not verb and words[i - 1] ~= "--lua-version" then
            verb = word
        end
    end
    has(general, "\n   " .. verb)
end

-- Those are run, below.
checks["lua5.4"] = function() end
checks.cc = checks["lua5.4"]
checks["sandbox/zenlayer-sandbox"] = checks["lua5.4"]

describe("the README's command", function()
    for _, block in ipairs(readme.blocks "sh") do
        for _, command in ipairs(commands(block)) do
            it(("%s (line %d) can be given"):format(command, block.line), function()
                local words = {}
                for word in command:gsub('^%u[%u_]*=%S+ ', ""):gmatch "%S+" do
                    words[#words + 1] = word
                end
                local check = assert(checks[words[1]], "nothing is known of " .. words[1])
                check { table.unpack(words, 2) }
            end)
        end
    end

    it("make … within a sentence is one", function()
        local count = 0
        for target in readme.text:gmatch "`make ([%l-]+)[^`]*`" do
            assert(sources.make_targets()[target], target)
            count = count + 1
        end
        assert.is_true(count > 0)
    end)
end)

-- The sandbox as the README starts it, but on a free port, with its files in a folder of its own.
local function start(command)
    local box = setmetatable({ directory = process.temporary_directory() }, sandbox)
    local messages = box.directory .. "/messages"
    command = command:gsub(" /tmp/", " " .. box.directory .. "/"):gsub("%-%-port %d+", "--port 0")
    process.write(messages, "")
    local line = "echo $$; exec %s --die-with-parent >>%s 2>&1 </dev/null"
    box.server = { pipe = assert(io.popen(line:format(command, messages))) }
    box.server.pid = tonumber(box.server.pipe:read())
    local ok = pcall(process.await, function()
        return process.read(messages):find "ACCESS_KEY_SECRET=[^\n]*\n"
    end, "the sandbox", 15)
    local told = process.read(messages)
    if not ok then
        box:stop()
        error(command .. " did not start: " .. told)
    end
    assert.equal(box.KEY_ID, told:match "access_key_id +(%S+)")
    assert.equal(box.PASSWORD, told:match "access_key_password +(%S+)")
    box.endpoint, box.ca_file = told:match "endpoint +(%S+)", told:match "ca_file +(%S+)"
    box.journal_file, box.from = box.directory .. "/journal", 0
    return box
end

local function count(list)
    local n = 0
    for _ in pairs(list) do
        n = n + 1
    end
    return n
end

-- What the README says of each.
local sandboxes = {
    [""] = function(_, client)
        assert.equal(10, count(assert(client:describe_instances_status())))
    end,

    ["--instances 500 --rate 5"] = function(_, client)
        assert.equal(500, count(assert(client:describe_instances_status())))
        process.await(function()
            local _, err = client:call "DescribeInstances"
            return err and err.code == "REQUEST_LIMIT_EXCEEDED"
        end, "a rate limit")
    end,

    ["--accept-any --journal /tmp/journal"] = function(box, client)
        assert(client:stop_instances { "any", "id" })
        assert.same({ "any", "id" }, box:requests()[1].params.instanceIds)
    end,

    ["--fault reset_after:action=StopInstances,times=1"] = function(_, client)
        local _, err = client:stop_instances { "ins-0001" }
        assert.equal("CONNECTION_LOST", err.code)
        assert.equal("unknown", err.outcome)
        assert.is_truthy(client:describe_instances_status({ "ins-0001" })["ins-0001"]:find "^STOP")
        assert(client:stop_instances { "ins-0002" })
    end,
}

describe("the README's sandbox", function()
    local box

    after_each(function()
        if box then
            box:stop()
            box = nil
        end
    end)

    local first = commands(readme.take "--port 8443")[1]

    it("serves its first script", function()
        box = start(first)
        local script = box.directory .. "/first.lua"
        local text = replace(readme.take 'access_key_id = "SANDBOXKEY"'.text,
            "https://localhost:8443", box.endpoint:gsub("127%.0%.0%.1", "localhost"), 1)
        text = replace(text, "/tmp/zenlayer/ca.pem", box.directory .. "/zenlayer/ca.pem", 1)
        process.write(script, every_lua.blocks and text or text:gsub(" <close>", ""))
        local command = with_this_lua(commands(readme.take "first.lua")[1])
        local output, status = process.run {
            "env", "-u", every_lua.CPATH, "-u", "https_proxy", "-u", "HTTPS_PROXY",
            "sh", "-c", replace(command, "first.lua", script, 1),
        }
        assert.equal(0, status, output)
        local state = "ins%-000[12]\tSTOP%u+\n"
        assert.is_truthy(output:find("^T%x+%-[^\n]+\n" .. state .. state .. "$"), output)
    end)

    for _, command in ipairs(commands(readme.take "--accept-any")) do
        it(command .. " is what is said of it", function()
            local arguments = command:match "^sandbox/zenlayer%-sandbox ?(.*)$"
            box = start(command)
            local client = every_lua.closing(box:client { max_attempts = 1 })
            assert(sandboxes[arguments], "nothing is known of it")(box, client)
        end)
    end
end)

describe("the README's C", function()
    local PROGRAM = [[
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include "zenlayer.h"
int main(int argc, char **argv) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
%s
    lua_pushstring(L, argc > 2 ? argv[2] : "");
    lua_setglobal(L, "endpoint");
    if (luaL_dofile(L, argv[1]) != 0) {
        fprintf(stderr, "%%s\n", lua_tostring(L, -1));
        return 1;
    }
    lua_close(L);
    return 0;
}
]]
    local SCRIPT = [[
local safe = require "zenlayer.safe"
local refused, err = safe.new { access_key_id = "a" }
assert(refused == nil and err.code == "CREDENTIALS_INVALID")
local client = require "zenlayer".new {
    access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password", endpoint = endpoint,
    ca_file = "%s", proxy = false,
}
print(client:stop_instances({ "a", "b" }, { force_shutdown = false })[1])
]]

    local block = readme.take "luaopen_zenlayer_safe"
    local compile = with_this_lua(commands(readme.take "game.c ")[1])
    local box, folder

    setup(function()
        box = sandbox.start()
        folder = process.temporary_directory()
    end)
    teardown(function()
        process.remove(folder)
        box:stop()
    end)

    it("and its command make a program that stops instances", function()
        assert.equal("c", block.kind)
        process.write(folder .. "/game.c", PROGRAM:format(block.text))
        process.write(folder .. "/game.lua", SCRIPT:format(box.ca_file))
        process.check { "sh", "-c", replace(compile, "game.c", folder .. "/game.c", 1)
            .. " -Wall -Werror -o " .. folder .. "/game" }
        -- The module that was built is not to be found: it can only be the one within.
        local output, status = process.run { "env", "LUA_CPATH=;;", every_lua.CPATH .. "=;;",
            folder .. "/game", folder .. "/game.lua", box.endpoint }
        assert.equal(0, status, output)
        local requests = box:requests()
        assert.equal(requests[1].request_id .. "\n", output)
        assert.is_true(requests[1].acted)
    end)
end)

describe("the README's Lua for OpenResty", function()
    local CONFIGURATION = [[
$MODULES
$MAIN
pid nginx.pid;
error_log error.log info;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    $HTTP
    init_by_lua_block {
        local real = require "resty.zenlayer"
        package.loaded["resty.zenlayer"] = setmetatable({ new = function(options)
            assert(options == nil)
            return real.new { endpoint = "$ENDPOINT" }
        end }, { __index = real })
    }
    server {
        listen 127.0.0.1:@PORT@;
        location / {
            content_by_lua_block {
$CODE
                ngx.print(request_ids and request_ids[1])
            }
        }
    }
}
]]

    local block = readme.take 'require "resty.zenlayer"'
    local box, names

    setup(function()
        box = sandbox.start()
        names = dns.start { localhost = { "127.0.0.1" } }
    end)
    teardown(function()
        names:stop()
        box:stop()
    end)

    it("runs in an nginx with the directives that it names", function()
        local values = {
            lua_ssl_trusted_certificate = box.ca_file, resolver = names.address .. " ipv6=off",
        }
        local main, http = {}, {}
        local told = block.text:match "%-%- nginx%.conf: (.-)\nlocal":gsub("\n%-%-", "")
        for name, value in told:gmatch "([%l_]+) ([^;]+);" do
            local lines = name == "env" and main or http
            lines[#lines + 1] = ("%s %s;"):format(name, value == "…" and values[name] or value)
        end
        assert.equal(2, #main)
        assert.equal(3, #http)
        local conf = CONFIGURATION:gsub("%$(%u+)", {
            MODULES = gateway.load_modules(), MAIN = table.concat(main, "\n"),
            HTTP = table.concat(http, "\n"), CODE = block.text,
            ENDPOINT = "https://localhost:" .. box.port,
        })
        local front = gateway.start { conf = conf, env = {
            ZENLAYER_ACCESS_KEY_ID = box.KEY_ID, ZENLAYER_ACCESS_KEY_SECRET = box.PASSWORD,
        } }
        local good, bad = front:get "/", front:get "/"
        local requests = box:requests()
        front:stop { "zenlayer: OPERATION_DENIED_INSTANCE_NOT_RUNNING: " }
        assert.equal(requests[1].request_id, good.body)
        assert.equal("nil", bad.body)
        assert.equal(2, #requests)
        assert.same({ instanceIds = { "ins-0001" }, forceShutdown = false }, requests[1].params)
    end)
end)

describe("the README", function()
    it("has no other block", function()
        for _, block in ipairs(readme.blocks()) do
            assert(block.taken or block.kind == "lua" or block.kind == "sh",
                ("line %d: a block of %s that nothing runs"):format(block.line, block.kind))
        end
    end)
end)
