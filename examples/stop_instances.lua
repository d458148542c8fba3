#!/usr/bin/env lua5.4
-- Stop instances from the command line.
--
--   stop_instances.lua [--graceful] [--grace SECONDS] [--wait] [--isolate]
--                      [--endpoint URL] [--ca-file PATH] [id ...]
--
-- The key pair comes from ZENLAYER_ACCESS_KEY_ID and ZENLAYER_ACCESS_KEY_SECRET, or a token from
-- ZENLAYER_TOKEN. Request ids go to stdout, everything else to stderr.

local zenlayer = require "zenlayer.safe"

local USAGE = [[
usage: stop_instances.lua [options] [id ...]

Asks the API to stop instances. Without ids it reads them from stdin, separated by white space.

  --graceful      shut the guest down; without this it is a hard power-off
  --wait          then wait until all of them are STOPPED (for at most 10 minutes)
  --grace SECONDS shut the guest down, wait so long, then power off what is not STOPPED; and wait
  --isolate       do without ids that cannot be stopped, instead of giving up their whole batch
  --endpoint URL  another API than https://console.zenlayer.com
  --ca-file PATH  trust the certificates in this file instead of the system's
  --help          this text

exit status: 0 all were stopped; 1 some or all were not; 2 bad usage
]]

local function complain(...)
    io.stderr:write("stop_instances: ", string.format(...), "\n")
end

local function bad_usage(...)
    complain(...)
    io.stderr:write(USAGE)
    os.exit(2, true)
end

local function on_terminal(descriptor)
    local ok = os.execute("test -t " .. descriptor)
    return ok == true or ok == 0 -- the status itself in Lua 5.1
end

local function parse(args)
    local options, ids = {}, {}
    local flags = { ["--graceful"] = "graceful", ["--wait"] = "wait", ["--isolate"] = "isolate" }
    local values = { ["--endpoint"] = "endpoint", ["--ca-file"] = "ca_file", ["--grace"] = "grace" }
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
    if options.grace then
        local seconds = tonumber(options.grace)
        options.grace = seconds and seconds > 0 and seconds
            or bad_usage("--grace needs seconds over 0, not %s", options.grace)
        options.wait = true
    end
    return options, ids
end

local function read_ids()
    if on_terminal(0) then
        bad_usage("no ids")
    end
    local ids = {}
    for id in io.read("*a"):gmatch("%S+") do
        ids[#ids + 1] = id
    end
    return ids
end

local bar_is_open = false -- a line on the terminal that is not ended yet

-- What is known of every id, after an operation that failed.
local function report(err)
    io.stderr:write(bar_is_open and "\n" or "")
    complain("%s", tostring(err))
    local statuses = err.statuses or {}
    for _, batch in ipairs(err.batches or {}) do
        if batch.outcome == "accepted" then
            print(batch.request_id or "-") -- the answer that had it was lost
        end
        local failed = {}
        for _, id in ipairs(batch.failed_ids or {}) do
            failed[id] = true
        end
        for _, id in ipairs(batch.instance_ids) do
            io.stderr:write("  ", failed[id] and batch.error.outcome or batch.outcome, "  ", id,
                statuses[id] and "  " .. statuses[id] or "", "\n")
        end
    end
end

-- The bar, redrawn in place on a terminal; lines, when something changed, elsewhere.
local function new_progress()
    local terminal, width, last = on_terminal(2), 40, nil
    return function(progress)
        local stopped = progress.stopped
        local total = stopped + progress.pending + progress.failed
        if terminal then
            local full = math.floor(stopped * width / total)
            io.stderr:write("\r[", ("#"):rep(full), ("."):rep(width - full), "] ",
                ("%d of %d STOPPED"):format(stopped, total), progress.pending == 0 and "\n" or "")
            bar_is_open = progress.pending > 0
        elseif stopped ~= last then
            io.stderr:write(("%d of %d STOPPED\n"):format(stopped, total))
        end
        last = stopped
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

local request_ids, failure = client:stop_instances(ids, {
    -- Left out, this would be the server's default, which is true. Say what is meant.
    force_shutdown = not (options.graceful or options.grace),
    grace = options.grace,
    isolate = options.isolate,
    wait = options.wait,
    on_progress = options.wait and new_progress(),
})
client:close()
if not request_ids then
    report(failure)
    os.exit(1, true)
end
for _, request_id in ipairs(request_ids) do
    print(request_id or "-") -- the answer that had it was lost
end
