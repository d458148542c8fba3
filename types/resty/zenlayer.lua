---@meta resty.zenlayer
--- The same over OpenResty's cosockets. What went wrong comes back as nil and the error.

---@class resty.zenlayer.Client
local client = {}

---@param ids string[]
---@param options? zenlayer.StopOptions
---@return (string|false)[]? request_ids one a batch; false where the answer that had it was lost
---@return zenlayer.Batch[]|zenlayer.Error batches
function client:stop_instances(ids, options) end

---@param ids? string[]
---@param options? zenlayer.StatusOptions
---@return table<string, string>? statuses
---@return zenlayer.Error? err
function client:describe_instances_status(ids, options) end

---@param ids string[]
---@param options? zenlayer.WaitOptions
---@return table<string, string>? statuses
---@return zenlayer.Error? err
function client:wait_until_stopped(ids, options) end

---@param action string
---@param params? table
---@param options? zenlayer.CallOptions
---@return table? response
---@return string|zenlayer.Error request_id
function client:call(action, params, options) end

--- Gives false, err for a page that failed, and then ends.
---@param action string
---@param params? table
---@param options? zenlayer.CallOptions of each call
---@return (fun(): table|false|nil, string|zenlayer.Error|nil)? iterator
---@return zenlayer.Error? err
function client:pages(action, params, options) end

--- End what is under way, as CANCELLED.
function client:close() end

---@class resty.zenlayer
---@field null lightuserdata JSON's null, cjson.null
---@field empty_array userdata JSON's []
---@field _VERSION string
local zenlayer = {}

---@param options? zenlayer.Options
---@return resty.zenlayer.Client?
---@return zenlayer.Error? err
function zenlayer.new(options) end

---@param options zenlayer.SignOptions
---@return table<string, string>? headers
---@return zenlayer.Error? err
function zenlayer.sign(options) end

---@param value any
---@return boolean
function zenlayer.is_error(value) end

return zenlayer
