-- make bench and make bench-check: that they measure and tell, not what they find. `make benches`
-- has built what they need.
local lfs = require "lfs"
local process = require "process"

local MODULE = package.searchpath("zenlayer", package.cpath)
local BUILD, FLAVOUR = MODULE:match "^(.*)/([^/]+)/zenlayer%.so$"

local function python(script, ...)
    assert(lfs.attributes(BUILD .. "/bench/sign"), "not built: make benches")
    return process.run {
        "python3", "-B", "bench/" .. script, "--lua", process.lua, "--build", BUILD, ...,
    }
end

-- The row with this title: what was found of the floor, of the module, and the ratio of both.
local function row(output, title)
    local from, to = output:find("\n" .. title, 1, true)
    assert(from, output)
    local floor, ours, unit, ratio = output:match("^ +([%d.]+) +([%d.]+) (%S+) +([%d.]+) ", to + 1)
    return tonumber(floor), tonumber(ours), unit, tonumber(ratio)
end

describe("make bench", function()
    it("runs the rows that are asked for, beside their floors", function()
        local output, status = python("bench.py", "--flavour", FLAVOUR, "--rounds", "1",
            "--rows", "sign,require,sequential", "--no-instructions")
        assert.equal(0, status, output)
        local units = {
            ["sign, 100 ids, core"] = "us",
            ["sign, 2 ids, core"] = "us",
            ['require "zenlayer"; libcurl and libcrypto loaded'] = "us",
            ["stop_instances, 1 id, one after another"] = "calls/s",
            ["stop_instances, 100 ids, one after another"] = "calls/s",
            ["the least that a call can be, 1 id"] = "calls/s",
            ["the least that a call can be, 100 ids"] = "calls/s",
        }
        for title, expected in pairs(units) do
            local floor, ours, unit, ratio = row(output, title)
            assert.equal(expected, unit, title)
            assert(math.abs(ratio / (ours / floor) - 1) < 0.02, output)
        end
        local _, count = output:gsub("\n[^\n]+ %S+ +%d%.%d+ +%(", "")
        assert.equal(7, count, output)
        assert.truthy(output:find "\n%d goals? missed\n$", output)
    end)

    it("says which rows there are", function()
        local output, status = python("bench.py", "--rows", "sing")
        assert.equal(2, status, output)
        assert.truthy(output:find("no rows called sing; there are sign, ", 1, true), output)
    end)
end)

-- In place of valgrind: a call takes COUNT instructions in the program, and 1,000 in libcrypto.
local COUNTER = [[#!/bin/sh
[ "$1" != --version ] || { echo valgrind-0; exit; }
for calls in "$@"; do
    case $calls in --callgrind-out-file=*) out=${calls#*=} ;; esac
done
cat >"$out" <<END
events: Ir
ob=(1) /usr/bin/program
fn=(1) main
16 $((calls * COUNT + 5000))
cfn=(2) f
cob=(2) /usr/lib/libcrypto.so.3
calls=1 9
+1 $((calls * 1000))
ob=(2)
fn=(2)
9 $((calls * 1000))
END
]]

describe("make bench-check", function()
    local folder, baseline

    setup(function()
        folder = process.temporary_directory()
        baseline = folder .. "/baseline.json"
        process.write(folder .. "/valgrind", COUNTER)
        process.check { "chmod", "+x", folder .. "/valgrind" }
    end)
    teardown(function()
        process.remove(folder)
    end)

    local function check(count, ...)
        return process.run {
            "env", "COUNT=" .. count, "PATH=" .. folder .. ":" .. os.getenv "PATH", "python3", "-B",
            "bench/check.py", "--lua", process.lua, "--build", BUILD, "--baseline", baseline, ...,
        }
    end

    it("compares what a call takes with what was recorded", function()
        local output, status = check(2000, "--record")
        assert.equal(0, status, output)
        output, status = check(2059)
        assert.equal(0, status, output)
        assert.truthy(output:find("\ncore sign 2 +libcrypto +1000 +1000 +1.000\n"), output)
        assert.truthy(output:find("\ncore sign 2 +elsewhere +2000 +2059 +1.0%d+\n"), output)
        assert.truthy(output:find("all 14 figures are within 3 %", 1, true), output)
        output, status = check(2061)
        assert.equal(1, status, output)
        assert.truthy(output:find("over the baseline: core sign 2, elsewhere; ", 1, true), output)
        assert.is_nil(output:find("2, libcrypto", 1, true), output)
    end)

    it("compares nothing that was recorded with other versions", function()
        check(2000, "--record")
        local text = process.read(baseline)
        process.write(baseline, (text:gsub("valgrind%-0", "valgrind-9")))
        local output, status = check(4000)
        assert.equal(0, status, output)
        assert.truthy(output:find("other valgrind: recorded with valgrind-9; here valgrind-0\n", 1,
            true), output)
        assert.truthy(output:find("with another valgrind: nothing was compared\n", 1, true), output)
    end)
end)
