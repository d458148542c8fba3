-- Child processes for the specs: servers that are started and stopped, and commands that are run.
local cjson = require "cjson"
local lfs = require "lfs"
local system = require "system"

local process = {}

process.now = system.monotime -- seconds, on a clock that never goes back
process.sleep = system.sleep

-- Tests under valgrind or a sanitizer get more time.
process.slowness = os.getenv "ZENLAYER_TEST_SLOW" and 10 or 1

-- Where the same spec runs on several Luas, one of them does all rounds of what takes long. On the
-- others it is a part of them: process.rounds(50) is 50 or 10, process.rounds(1, 7) is 1 or 7.
function process.rounds(all, fewer)
    local is_short = os.getenv "ZENLAYER_TEST_FEWER"
    return is_short and (fewer or math.ceil(all / 5)) or all
end

-- The interpreter that runs this.
process.lua = lfs.symlinkattributes("/proc/self/exe").target

function process.quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

function process.command(words)
    local quoted = {}
    for i, word in ipairs(words) do
        quoted[i] = process.quote(word)
    end
    return table.concat(quoted, " ")
end

-- A pipe from a shell command, and what ends it: its output, then its exit status (or the signal
-- that ended it, after the word). In Lua 5.1 closing the pipe does not tell: the shell writes it.
function process.open(command)
    return assert(io.popen(("(%s) </dev/null; printf '\\n%%d' $?"):format(command)))
end

function process.finish(pipe)
    local output, status = pipe:read("*a"):match "^(.*)\n(%d+)$"
    pipe:close()
    status = math.tointeger(tonumber(status))
    return output, status <= 128 and status or "signal " .. status - 128
end

-- Run a command to its end.
function process.run(words)
    return process.finish(process.open("exec " .. process.command(words) .. " 2>&1"))
end

function process.check(words)
    local output, status = process.run(words)
    assert(status == 0, output)
    return output
end

-- Send a signal. By the shell's own kill: the program of that name is not on every machine.
function process.signal(pid, name)
    return os.execute(("kill -%s %d 2>/dev/null"):format(name, pid)) == true
end

function process.read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

-- Whole or not at all: who reads the path never sees half of it.
function process.write(path, text)
    local file = assert(io.open(path .. ".new", "wb"))
    assert(file:write(text))
    assert(file:close())
    assert(os.rename(path .. ".new", path))
end

function process.temporary_directory()
    return (process.check { "mktemp", "-d", "/tmp/zenlayer-spec-XXXXXX" }:gsub("\n$", ""))
end

function process.remove(directory)
    assert(directory:find "^/tmp/zenlayer%-spec%-")
    process.check { "rm", "-rf", directory }
end

-- Wait until look() returns something true, and return that.
function process.await(look, what, seconds)
    local deadline = process.now() + (seconds or 10) * process.slowness
    while true do
        local found = look()
        if found then
            return found
        end
        assert(process.now() < deadline, "waited in vain for " .. what)
        process.sleep(0.01)
    end
end

-- The lines of JSON in a file from a position on. The last one counts only once it has ended.
function process.json_lines(path, from)
    local lines = {}
    if not lfs.attributes(path) then
        return lines
    end
    for line in process.read(path):sub((from or 0) + 1):gmatch "([^\n]*)\n" do
        lines[#lines + 1] = cjson.decode(line)
    end
    return lines
end

-- Start a server that writes a ready file (JSON with its pid) once it listens. Its messages go to a
-- file, which is shown if it does not start. What comes back must be given to process.stop.
function process.start(words, ready_file, messages)
    local line = ("exec %s >%s 2>&1 </dev/null"):format(process.command(words),
        process.quote(messages))
    local server = { pipe = assert(io.popen(line)) }
    local ok = pcall(process.await, function()
        return lfs.attributes(ready_file) ~= nil
    end, "a server", 15)
    assert(ok, words[2] .. " did not start: " .. process.read(messages))
    server.ready = cjson.decode(process.read(ready_file))
    server.pid = math.tointeger(server.ready.pid)
    return server
end

-- End it, and wait until it is gone.
function process.stop(server)
    if server.pipe then
        process.signal(server.pid, "TERM")
        server.pipe:close()
        server.pipe = nil
    end
end

-- Run a Lua script (text) in an interpreter of its own, with this environment ({ NAME = value, or
-- false to unset it }) and these arguments. Its output, and its exit status.
function process.run_lua(script, environment, ...)
    local words, settings = { "env" }, {}
    for name, value in pairs(environment or {}) do
        if value then
            settings[#settings + 1] = name .. "=" .. value
        else
            words[#words + 1] = "-u"
            words[#words + 1] = name
        end
    end
    table.move(settings, 1, #settings, #words + 1, words)
    local path = os.tmpname()
    process.write(path, script)
    local command = { process.lua, "-l", "every_lua", path, ... }
    table.move(command, 1, #command, #words + 1, words)
    local output, status = process.run(words)
    os.remove(path)
    return output, status
end

return process
