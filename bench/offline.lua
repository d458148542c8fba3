-- What the module does of a call without a network, so many times:
--
--     offline.lua sign IDS CALLS     zenlayer.sign of the body of so many ids
--     offline.lua prepare IDS CALLS  prepare_stop_instances, step, reply, result
--
-- Prints the processor's seconds. It loads zenlayer.core, which has no libcurl behind it.
local zenlayer = require "zenlayer.core"

local mode, count, calls = arg[1], tonumber(arg[2]), tonumber(arg[3])
local ids = {}
for i = 1, count do
    ids[i] = ("instance-%08d"):format(i)
end

local modes = {}

function modes.sign()
    local body = '{"forceShutdown":false,"instanceIds":["' .. table.concat(ids, '","') .. '"]}'
    return function()
        return zenlayer.sign {
            access_key_id = "BENCHKEY",
            access_key_password = "bench-password-of-some-length",
            host = "console.zenlayer.com",
            body = body,
            timestamp = 1700000000,
        }
    end
end

function modes.prepare()
    local client = zenlayer.new {
        access_key_id = "BENCHKEY",
        access_key_password = "bench-password-of-some-length",
    }
    local options = { force_shutdown = false }
    local headers = { ["Content-Type"] = "application/json" }
    local answer = '{"requestId":"TAB4A8E0B-1E4C-4D5B-9C6E-0F1A2B3C4D5E","response":'
        .. '{"requestId":"TAB4A8E0B-1E4C-4D5B-9C6E-0F1A2B3C4D5E"}}'
    return function()
        local op = client:prepare_stop_instances(ids, options)
        local step, n = op:step()
        while step == "send" do
            op:reply(n, 200, headers, answer)
            step, n = op:step()
        end
        local result = op:result()
        assert(#result == math.ceil(count / 100))
    end
end

local work = modes[mode]()
work()
local began = os.clock()
for _ = 1, calls do
    work()
end
local processor = os.clock() - began
print(("seconds %.9f\nprocessor %.9f"):format(processor, processor))
