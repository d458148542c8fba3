#!/usr/bin/env lua5.4
-- The same stop with errors that are raised (zenlayer) and with errors that are returned
-- (zenlayer.safe), and what a program can make of an error.
--
--   safe_or_raise.lua (raise | safe) id ...
--
-- The key pair comes from ZENLAYER_ACCESS_KEY_ID and ZENLAYER_ACCESS_KEY_SECRET; ZENLAYER_ENDPOINT
-- and ZENLAYER_CA_FILE may name another place than the real API.
-- Exit status: 0 accepted; 1 not all was, or nothing; 2 bad usage; 3 nobody knows what was done.

local safe = require "zenlayer.safe"
local zenlayer = require "zenlayer"

local CLIENT = { endpoint = os.getenv "ZENLAYER_ENDPOINT", ca_file = os.getenv "ZENLAYER_CA_FILE" }
local STOP = { force_shutdown = false }

-- Raised: the lines of the work follow each other, and one pcall around them has every error.
local function stop_raising(ids)
    local ok, result = pcall(function()
        local client = zenlayer.new(CLIENT)
        local request_ids = client:stop_instances(ids, STOP)
        client:close()
        return request_ids
    end)
    if ok then
        return result
    elseif not zenlayer.is_error(result) then
        error(result, 0) -- a slip in this program, Ctrl-C, out of memory
    end
    return nil, result
end

-- Returned: each call is looked at where it stands.
local function stop_safe(ids)
    local client, err = safe.new(CLIENT)
    if not client then
        return nil, err
    end
    local request_ids, failure = client:stop_instances(ids, STOP)
    client:close()
    return request_ids, failure
end

-- How many ids the API took all the same: over a hundred go out in several batches.
local function count_accepted(err)
    local count = 0
    for _, batch in ipairs(err.batches or {}) do
        count = count + (batch.outcome == "accepted" and #batch.instance_ids or 0)
    end
    return count
end

-- The kind says what went wrong, the outcome what became of the instances at worst.
local function advice(err)
    local accepted = count_accepted(err)
    if err.outcome == "unknown" then
        return "it may have been done: look at the status before you do anything else"
    elseif accepted > 0 then
        return accepted .. " are stopping; err.batches has the others"
    elseif err.kind == "argument" then
        return "the program is wrong, at " .. (err.where or "this call") .. "; nothing was sent"
    elseif err.kind == "credentials" then
        return "there is no key to sign with; nothing was sent"
    elseif err.retryable then
        return "nothing was done: try again later"
    elseif err.outcome == "rejected" then
        return "nothing was done, and the same would be refused again"
    end
    return "nothing was sent, and it will not be better later"
end

local styles = { raise = stop_raising, safe = stop_safe }
local stop = styles[arg[1]]
if not stop then
    io.stderr:write "usage: safe_or_raise.lua (raise | safe) id ...\n"
    os.exit(2)
end
local request_ids, err = stop { select(2, ...) }
if request_ids then
    print("accepted", request_ids[1])
else
    print(err.kind, err.outcome, err.code)
    io.stderr:write(tostring(err), "\n", advice(err), "\n")
    os.exit(err.outcome == "unknown" and 3 or 1, true)
end
