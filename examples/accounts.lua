#!/usr/bin/env lua5.4
-- Shut instances of several accounts down, all at the same time.
--
--   accounts.lua PROFILE=ID[,ID...] ...
--
-- A PROFILE is one of ~/.zenlayer/credentials.json, the file of the official command line.
-- ZENLAYER_ENDPOINT and ZENLAYER_CA_FILE may name another place than the real API.
-- Exit status: 0 all were accepted; 1 not all; 2 bad usage.

local zenlayer = require "zenlayer.safe"

local function parse(words)
    local accounts = {}
    for i, word in ipairs(words) do
        local profile, list = word:match "^([^=]+)=(.+)$"
        if not profile then
            return {}
        end
        local ids = {}
        for id in list:gmatch "[^,]+" do
            ids[#ids + 1] = id
        end
        accounts[i] = { profile = profile, ids = ids }
    end
    return accounts
end

-- A client for each account: its keys, its connections, its pauses. Nobody waits here.
local function begin(account)
    local client, err = zenlayer.new {
        profile = account.profile,
        endpoint = os.getenv "ZENLAYER_ENDPOINT",
        ca_file = os.getenv "ZENLAYER_CA_FILE",
    }
    if client then
        account.client = client
        account.job, err = client:submit_stop_instances(account.ids, { force_shutdown = false })
    end
    account.err = err
end

-- Move every job that is under way on. Each poll waits only for its own client's sockets, so it
-- is a short one. Returns how many there are.
local function poll_all(accounts)
    local count = 0
    for _, account in ipairs(accounts) do
        if account.job and not account.job:done() then
            account.client:poll(0.01)
            count = count + 1
        end
    end
    return count
end

-- Print what became of an account; whether all of it was accepted.
local function finish(account)
    local request_ids, err = nil, account.err
    if account.job then
        request_ids, err = account.job:result()
        account.client:close()
    end
    if request_ids then
        print(account.profile, "accepted", #account.ids)
    else
        print(account.profile, err.outcome, err.code)
        io.stderr:write(account.profile, ": ", tostring(err), "\n")
    end
    return request_ids ~= nil
end

local accounts = parse(arg)
if #accounts == 0 then
    io.stderr:write "usage: accounts.lua PROFILE=ID[,ID...] ...\n"
    os.exit(2)
end
for _, account in ipairs(accounts) do
    begin(account)
end
repeat until poll_all(accounts) == 0
local all_good = true
for _, account in ipairs(accounts) do
    all_good = finish(account) and all_good
end
os.exit(all_good and 0 or 1, true)
