-- What bench/fleet.py measures: a fleet stopped through the module.
--
--     fleet.lua stop ENDPOINT CA_FILE IDS CONCURRENCY     prints the seconds it took
--     fleet.lua requests ENDPOINT CA_FILE IDS CONCURRENCY prints the requests it would send
local monotime = require("system").monotime
local zenlayer = require "zenlayer"

local mode, endpoint, ca_file = arg[1], arg[2], arg[3]
local count, concurrency = tonumber(arg[4]), tonumber(arg[5])

local ids = {}
for i = 1, count do
    ids[i] = ("instance-%08d"):format(i)
end

local began = monotime()
local client = zenlayer.new {
    access_key_id = "BENCHKEY",
    access_key_password = "bench-password",
    endpoint = endpoint,
    ca_file = ca_file,
    max_concurrency = concurrency,
}

if mode == "stop" then
    local request_ids = client:stop_instances(ids, { force_shutdown = false })
    local seconds = monotime() - began
    assert(#request_ids == math.ceil(count / 100))
    print(("%.6f"):format(seconds))
else
    local op = client:prepare_stop_instances(ids, { force_shutdown = false })
    while true do
        local step, n, request = op:step()
        if step ~= "send" then
            assert(step == "done", step)
            break
        end
        print(request.url)
        for name, value in pairs(request.headers) do
            print(name .. ": " .. value)
        end
        print("\n" .. request.body)
        op:reply(n, 200, {}, '{"requestId":"none","response":{}}')
    end
end
client:close()
