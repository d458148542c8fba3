-- No secret is in what the module tells: `make secrets` in short, and that it would find one.
local process = require "process"

local BUILD = package.searchpath("zenlayer", package.cpath):match "^(.+)/[^/]+/zenlayer%.so$"

-- Every kind of secret where none is to be, as the name of an action or in what is echoed: in
-- errors, events and results, in what is raised, in logs, and some of that in nginx too.
local LEAKS = [[
local remote, sandbox = require "remote", require "sandbox"
local box = sandbox.start()
local password, token, proxy = box.PASSWORD, "t0k3n-of-its-own", "pr0xys-pa55word"
box:client():call(password)
box:client { token = token }:call(token)
pcall(function()
    local url = "http://user:" .. proxy .. "@127.0.0.1:1"
    box:raising_client({ proxy = url, max_attempts = 1 }):call(proxy)
end)
box:client():call("Echo", { x = "Signature=" .. ("ab"):rep(32) })
local job = box:client():submit_call("Echo", { x = "Signature=" .. ("ab"):rep(32) })
job:wait()
job:result()

local front = remote.start(box, {
    locations = { ["= /log"] = ('ngx.log(ngx.WARN, "%s")'):format(token) },
})
front:client():call(password)
front.gateway:get "/log"
front:stop()
box:stop()
]]

-- `make secrets` on a few specs of each kind.
local SHORT = {
    "spec/10-binding/core_spec.lua", "spec/20-sandbox/hints_spec.lua",
    "spec/30-examples/events_spec.lua", "spec/40-jobs/isolate_spec.lua",
    "spec/60-gateway/functions_spec.lua",
}

describe("what the module tells", function()
    it("is searched for secrets, and they are found", function()
        local file = os.tmpname()
        local output, status = process.run_lua(LEAKS, { ZENLAYER_TEST_TELL = file })
        local told = process.read(file)
        os.remove(file)
        assert(status == 0, output)
        for _, leak in ipairs {
            "a key's password in call", "a key's password in an event",
            "a key's password in the journal of a server", "a token in call", "a token in an event",
            "a proxy's password in call", "a proxy's password in an event", "a signature in call",
            "a signature in result",
            "a token in the error.log of a server", "a key's password in call, nginx",
            "a key's password in an event, nginx",
        } do
            assert(("\n" .. told):find("\n" .. leak, 1, true), leak .. " is not among\n" .. told)
        end
    end)

    it("has none in it", function()
        local words = { "python3", "spec/run", "--lua", process.lua, "--build", BUILD, "--secrets" }
        table.move(SHORT, 1, #SHORT, #words + 1, words)
        local output, status = process.run(words)
        assert(status == 0 and output:find ", 0 secrets\n$", output)
    end)
end)
