-- A script as users write it: one call. `make bench` holds it against the curl command, from start
-- to exit:
--
--     once.lua ENDPOINT CA_FILE
local zenlayer = require "zenlayer"

local client = zenlayer.new {
    access_key_id = "BENCHKEY",
    access_key_password = "bench-password",
    endpoint = arg[1],
    ca_file = arg[2],
}
client:stop_instances({ "instance-00000001" }, { force_shutdown = false })
client:close()
