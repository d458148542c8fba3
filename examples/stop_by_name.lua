#!/usr/bin/env lua5.4
-- Stop the running instances whose name matches a Lua pattern.
--
--   stop_by_name.lua [--dry-run] PATTERN
--
-- With --dry-run it lists them, shows the request that would be sent (the first, if they are over
-- a hundred), and sends none. The key pair comes from ZENLAYER_ACCESS_KEY_ID and
-- ZENLAYER_ACCESS_KEY_SECRET; ZENLAYER_ENDPOINT and ZENLAYER_CA_FILE may name another place than
-- the real API. Exit status: 0 they are stopping, or there are none; 1 something failed; 2 bad
-- usage.

local zenlayer = require "zenlayer"

-- Shut the guests down in order; one that cannot be stopped does not keep the others running.
local STOP = { force_shutdown = false, isolate = true }

local dry_run = arg[1] == "--dry-run"
local pattern = arg[dry_run and 2 or 1]
if not pattern or #arg > (dry_run and 2 or 1) or pattern:find "^%-%-" then
    io.stderr:write "usage: stop_by_name.lua [--dry-run] PATTERN\n"
    os.exit(2)
end

-- The list is read to its end before anything is changed: a stop would move the pages.
local function find_running(client)
    local ids = {}
    for response in client:pages("DescribeInstances", { instanceStatus = "RUNNING" }) do
        for _, instance in ipairs(response.dataSet) do
            local name = instance.instanceName or ""
            if name:find(pattern) then
                ids[#ids + 1] = instance.instanceId
                print(instance.instanceId, name)
            end
        end
    end
    return ids
end

-- All arguments are checked and the request is signed, as for a stop that is sent.
local function show_request(client, ids)
    local op = client:prepare_stop_instances(ids, STOP)
    local _, _, request = op:step()
    local names = {}
    for name in pairs(request.headers) do
        names[#names + 1] = name
    end
    table.sort(names)
    print(request.method .. " " .. request.url)
    for _, name in ipairs(names) do -- with the signature somebody else could send it
        print(name .. ": " .. (name == "Authorization" and "(not shown)" or request.headers[name]))
    end
    print("\n" .. request.body)
    op:cancel() -- gives its place in the client back
end

local function main()
    local client = zenlayer.new {
        endpoint = os.getenv "ZENLAYER_ENDPOINT",
        ca_file = os.getenv "ZENLAYER_CA_FILE",
    }
    local ids = find_running(client)
    if #ids == 0 then
        io.stderr:write "stop_by_name: no running instance has such a name\n"
    elseif dry_run then
        show_request(client, ids)
    else
        for _, request_id in ipairs(client:stop_instances(ids, STOP)) do
            print("request", request_id or "lost, but it was done")
        end
    end
    client:close()
end

local ok, err = pcall(main)
if not ok then
    io.stderr:write("stop_by_name: ", tostring(err), "\n")
    for _, batch in ipairs(zenlayer.is_error(err) and err.batches or {}) do
        io.stderr:write("  ", batch.outcome, ": ", table.concat(batch.instance_ids, " "), "\n")
    end
    os.exit(1, true)
end
