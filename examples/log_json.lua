-- What a client does, as lines of JSON on stderr, for whatever collects a service's logs.
--
--     lua5.4 examples/log_json.lua INSTANCE_ID …
--
-- shuts the instances down. ZENLAYER_ENDPOINT and ZENLAYER_CA_FILE may name another place than the
-- real API. For a program of your own take `log_events` along.
local cjson = require "cjson"
local zenlayer = require "zenlayer"

-- An on_event that writes each event to a file, with its time as people read it.
local function log_events(file)
    return function(event)
        local second = math.floor(event.time)
        local fraction = ("%.3f"):format(event.time - second):sub(2)
        event.time = os.date("!%Y-%m-%dT%H:%M:%S", second) .. fraction .. "Z"
        file:write(cjson.encode(event), "\n")
        file:flush()
    end
end

local client = zenlayer.new {
    endpoint = os.getenv "ZENLAYER_ENDPOINT",
    ca_file = os.getenv "ZENLAYER_CA_FILE",
    on_event = log_events(io.stderr),
}
local ok, result = pcall(client.stop_instances, client, { ... }, { force_shutdown = false })
client:close()
if not ok then
    io.stderr:write(tostring(result), "\n")
    os.exit(1)
end
print(table.concat(result, "\n"))
