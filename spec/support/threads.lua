-- Runs a script in many Lua states, by threads.c.
local every_lua = require "every_lua"
local process = require "process"

local threads = {}

-- It and the module are in one folder. `make tsan` names another than that of this interpreter's.
local BUILT = os.getenv "ZENLAYER_TEST_THREADS"
    or package.searchpath("zenlayer", package.cpath):gsub("/zenlayer%.so$", "")

local SETUP = [[
local thread, nth, endpoint, ca_file = ...
local zenlayer = require "zenlayer"
local client = zenlayer.new {
    endpoint = endpoint, ca_file = ca_file, proxy = false,
    access_key_id = "SANDBOXKEY", access_key_password = "sandbox-password",
}
local function echo(n)
    local response, request_id = client:call("Echo", { thread = thread, nth = nth, n = n })
    assert(response.params.thread == thread and response.params.nth == nth
        and response.params.n == n, "somebody else's answer")
    assert(#request_id > 0)
end
]]

-- In so many threads, in so many states each. The body returns a count. What the program printed.
function threads.run(box, count, states, body)
    local script = box.directory .. "/script.lua"
    process.write(script, SETUP .. body)
    local output, status = process.run {
        "env", every_lua.CPATH .. "=" .. BUILT .. "/?.so;;", BUILT .. "/threads", count, states,
        script, box.endpoint, box.ca_file,
    }
    assert(status == 0 and not output:find "Sanitizer", output)
    return output
end

return threads
