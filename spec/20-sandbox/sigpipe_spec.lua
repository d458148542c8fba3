-- A server that hangs up must not kill the host by SIGPIPE: during an upload, or while a kept
-- connection is idle and its end is to be told. (libcurl from 7.87 on writes with MSG_NOSIGNAL even
-- under TLS: it takes an older one to see these fail.)
local certificates = require "certificates"
local cjson = require "cjson"
local process = require "process"
local sandbox = require "sandbox"
local server = require "server"

-- Python starts the interpreter with SIGPIPE's default action, whatever ours is.
local STARTER = "import os, signal, sys; signal.signal(signal.SIGPIPE, signal.SIG_DFL); "
    .. "os.execvp(sys.argv[1], sys.argv[1:])"

local BEGINNING = [[
local cjson = require "cjson"
local zenlayer = require "zenlayer.safe"
local options = cjson.decode(arg[1])
local ignored = io.open("/proc/self/status"):read "*a":match "SigIgn:%s*(%x+)"
local function has_sigpipe(mask)
    return math.floor(tonumber(mask, 16) / 2^12) % 2 == 1
end
assert(not has_sigpipe(ignored), "SIGPIPE is ignored")
local codes = {}
]]

local UPLOADS = [[
local client = zenlayer.new(options)
local text = ("x"):rep(2^22)
for i = 1, 8 do
    local _, err = client:call("Echo", { text = text })
    codes[i] = err.code .. " " .. err.outcome
end
client:close()
]]

local GOODBYES = [[
local function use(client)
    local response, err = client:call("Echo")
    codes[#codes + 1] = response and "ok" or tostring(err)
    require "system".sleep(0.1)
end
for i = 1, 8 do
    local client = zenlayer.new(options)
    use(client)
    if i % 2 == 0 then
        use(client)
    end
    client:close()
end
]]

local END = [[
local pending, blocked =
    io.open("/proc/self/status"):read "*a":match "ShdPnd:%s*(%x+).-SigBlk:%s*(%x+)"
print(cjson.encode {
    codes = codes, blocked = has_sigpipe(blocked), pending = has_sigpipe(pending),
})
os.exit(17, true)
]]

-- What the script made of its calls; SIGPIPE must be neither blocked nor pending at its end.
local function run(middle, options)
    local script = os.tmpname()
    process.write(script, BEGINNING .. middle .. END)
    local output, status = process.run {
        "python3", "-c", STARTER, process.lua, script, cjson.encode(options),
    }
    os.remove(script)
    assert.equal(17, status, output)
    local told = cjson.decode(output)
    assert.is_false(told.blocked)
    assert.is_false(told.pending)
    return told.codes
end

describe("SIGPIPE", function()
    for _, arguments in ipairs { {}, { "--http" } } do
        local transport = arguments[1] and "plain http" or "TLS"
        it("does not kill the host during an upload over " .. transport, function()
            local box = sandbox.start(arguments)
            box:faults { { fault = "reset_unread" } }
            local codes = run(UPLOADS, box:options { max_attempts = 1 })
            box:stop()
            assert.equal(8, #codes)
            for _, code in ipairs(codes) do
                assert.equal("CONNECTION_LOST unknown", code)
            end
        end)
    end

    it("does not kill the host when a connection that was reset is closed", function()
        local script = {}
        for i = 1, 12 do
            script[i] = { send = "@OK@", ["then"] = "reset" }
        end
        local directory = process.temporary_directory()
        certificates.make(directory)
        local other = server.start("scripted", {
            cert = directory .. "/server.pem", key = directory .. "/server-key.pem",
            script = script,
        })
        local box = setmetatable({
            endpoint = "https://127.0.0.1:" .. other.port, ca_file = directory .. "/ca.pem",
        }, sandbox)
        local codes = run(GOODBYES, box:options { max_attempts = 1 })
        other:stop()
        process.remove(directory)
        assert.equal(12, #codes)
        assert.equal("ok", codes[1])
    end)
end)
