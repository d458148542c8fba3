#!/usr/bin/env lua5.4
-- Shut instances down at night, from cron:
--
--   0 22 * * *  lua5.4 nightly_shutdown.lua 300 @/etc/zenlayer/at-night
--
-- usage: nightly_shutdown.lua SECONDS (id | @FILE) ...
--
-- Each guest is asked to shut down; what is not off so many seconds later is powered off. A FILE
-- has ids, as many as you like a line, and comments from # on. The key pair comes from
-- ZENLAYER_ACCESS_KEY_ID and ZENLAYER_ACCESS_KEY_SECRET; ZENLAYER_ENDPOINT and ZENLAYER_CA_FILE may
-- name another place than the real API.
--
-- Exit status: 0 all are STOPPED, and nothing is printed, so that cron sends no mail; 1 not all
-- are, or nobody knows, and stderr tells of each; 2 nothing was begun, and stderr tells why.

local zenlayer = require "zenlayer.safe"

local function give_up(why)
    io.stderr:write("nightly_shutdown: ", tostring(why), "\n")
    os.exit(2, true)
end

local function read_ids(first)
    local ids = {}
    for i = first, #arg do
        local path = arg[i]:match "^@(.*)"
        if path then
            local file, problem = io.open(path)
            local text = (file or give_up(problem)):read("*a"):gsub("#[^\n]*", "")
            for id in text:gmatch "%S+" do
                ids[#ids + 1] = id
            end
            file:close()
        else
            ids[#ids + 1] = arg[i]
        end
    end
    return ids
end

-- The error, and the ids by what became of them: "accepted, now STOPPED (2): a b".
local function report(err)
    local groups, order = {}, {}
    io.stderr:write("nightly_shutdown: ", tostring(err), "\n")
    for _, batch in ipairs(err.batches) do
        for _, id in ipairs(batch.instance_ids) do
            local code = batch.error and batch.error.code
            local status = err.statuses and err.statuses[id]
            local what = batch.outcome .. (code and " " .. code or "")
                .. (status and ", now " .. status or "")
            if not groups[what] then
                groups[what] = {}
                order[#order + 1] = what
            end
            table.insert(groups[what], id)
        end
    end
    for _, what in ipairs(order) do
        local ids = groups[what]
        io.stderr:write(("  %s (%d): %s\n"):format(what, #ids, table.concat(ids, " ")))
    end
end

local grace, ids = tonumber(arg[1]), read_ids(2)
if not grace or #ids == 0 then
    give_up "usage: nightly_shutdown.lua SECONDS (id | @FILE) ..."
end
local client, no_client = zenlayer.new {
    endpoint = os.getenv "ZENLAYER_ENDPOINT",
    ca_file = os.getenv "ZENLAYER_CA_FILE",
}
if not client then
    give_up(no_client)
end
local statuses, no_statuses = client:describe_instances_status(ids)
if not statuses then
    give_up(no_statuses)
end
local running = {}
for _, id in ipairs(ids) do -- what is off already needs nothing, and its stop would be refused
    running[#running + 1] = statuses[id] ~= "STOPPED" and id or nil
end
if #running > 0 then
    local request_ids, err = client:stop_instances(running, {
        grace = grace, isolate = true, on_error = "continue",
    })
    if not request_ids and not err.batches then
        give_up(err) -- an argument is wrong
    elseif not request_ids then
        report(err)
        os.exit(1, true)
    end
end
client:close()
