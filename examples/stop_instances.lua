#!/usr/bin/env lua5.4
-- Stop instances from the command line.
--
--   stop_instances.lua [--graceful] [--status] [--endpoint URL] [--ca-file PATH] [id ...]
--
-- The key pair comes from ZENLAYER_ACCESS_KEY_ID and ZENLAYER_ACCESS_KEY_SECRET, or a token from
-- ZENLAYER_TOKEN. Request ids go to stdout, everything else to stderr.

local zenlayer = require "zenlayer.safe"

local USAGE = [[
usage: stop_instances.lua [options] [id ...]

Asks the API to stop instances. Without ids it reads them from stdin, separated by white space.

  --graceful      shut the guest down; without this it is a hard power-off
  --status        then ask until all of them are STOPPED (for at most 10 minutes)
  --endpoint URL  another API than https://console.zenlayer.com
  --ca-file PATH  trust the certificates in this file instead of the system's
  --help          this text

exit status: 0 all were stopped; 1 some or all were not; 2 bad usage
]]

local STATUS_PAUSE_S, STATUS_LIMIT_S = 2, 600

local function complain(...)
    io.stderr:write("stop_instances: ", string.format(...), "\n")
end

local function bad_usage(...)
    complain(...)
    io.stderr:write(USAGE)
    os.exit(2, true)
end

local function on_terminal(descriptor)
    return (os.execute("test -t " .. descriptor))
end

local function parse(args)
    local options, ids = {}, {}
    local flags = { ["--graceful"] = "graceful", ["--status"] = "status" }
    local values = { ["--endpoint"] = "endpoint", ["--ca-file"] = "ca_file" }
    local i, only_ids = 1, false
    while i <= #args do
        local word = args[i]
        if only_ids or word:sub(1, 1) ~= "-" then
            ids[#ids + 1] = word
        elseif word == "--" then
            only_ids = true
        elseif word == "--help" then
            io.stdout:write(USAGE)
            os.exit(0, true)
        elseif flags[word] then
            options[flags[word]] = true
        elseif values[word] then
            i = i + 1
            options[values[word]] = args[i] or bad_usage("%s needs a value", word)
        else
            bad_usage("unknown option %s", word)
        end
        i = i + 1
    end
    return options, ids
end

local function read_ids()
    if on_terminal(0) then
        bad_usage("no ids")
    end
    local ids = {}
    for id in io.read("a"):gmatch("%S+") do
        ids[#ids + 1] = id
    end
    return ids
end

-- What is known of every id, after an operation that failed.
local function report(err)
    complain("%s", tostring(err))
    for _, batch in ipairs(err.batches or {}) do
        if batch.outcome == "accepted" then
            print(batch.request_id)
        end
        local failed = {}
        for _, id in ipairs(batch.failed_ids or {}) do
            failed[id] = true
        end
        for _, id in ipairs(batch.instance_ids) do
            io.stderr:write("  ", failed[id] and "rejected" or batch.outcome, "  ", id, "\n")
        end
    end
end

-- The bar, redrawn in place on a terminal; lines, when something changed, elsewhere.
local function new_progress(total)
    local terminal, width, last = on_terminal(2), 40, nil
    return function(stopped)
        if terminal then
            local full = stopped * width // total
            io.stderr:write("\r[", ("#"):rep(full), ("."):rep(width - full), "] ",
                ("%d of %d STOPPED"):format(stopped, total), stopped == total and "\n" or "")
        elseif stopped ~= last then
            io.stderr:write(("%d of %d STOPPED\n"):format(stopped, total))
        end
        last = stopped
    end
end

-- Ask for the statuses until every id is STOPPED. True, or false after saying which are not.
local function watch(client, ids)
    local unique, distinct = {}, {}
    for _, id in ipairs(ids) do
        if not unique[id] then
            unique[id] = true
            distinct[#distinct + 1] = id
        end
    end
    local progress, deadline = new_progress(#distinct), os.time() + STATUS_LIMIT_S
    while true do
        local statuses, err = client:describe_instances_status(distinct)
        if not statuses then
            complain("%s", tostring(err))
            return false
        end
        local others = {}
        for _, id in ipairs(distinct) do
            if statuses[id] ~= "STOPPED" then
                others[#others + 1] = id
            end
        end
        progress(#distinct - #others)
        if #others == 0 then
            return true
        elseif os.time() >= deadline then
            complain("not STOPPED after %d s:", STATUS_LIMIT_S)
            for _, id in ipairs(others) do
                io.stderr:write("  ", statuses[id] or "not found", "  ", id, "\n")
            end
            return false
        end
        local _, why = os.execute("sleep " .. STATUS_PAUSE_S)
        if why == "signal" then -- Ctrl-C goes to the sleep alone
            os.exit(130, true)
        end
    end
end

local options, ids = parse(arg)
if #ids == 0 then
    ids = read_ids()
    if #ids == 0 then
        bad_usage("no ids")
    end
end

local client, err = zenlayer.new { endpoint = options.endpoint, ca_file = options.ca_file }
if not client then
    complain("%s", tostring(err))
    os.exit(1, true)
end

-- Left out, force_shutdown would be the server's default, which is true. Say what is meant.
local request_ids, failure = client:stop_instances(ids, { force_shutdown = not options.graceful })
if not request_ids then
    report(failure)
    os.exit(1, true)
end
for _, request_id in ipairs(request_ids) do
    print(request_id)
end
io.stdout:flush()

local all_stopped = not options.status or watch(client, ids)
client:close()
os.exit(all_stopped and 0 or 1, true)
