---@meta zenlayer.safe
--- As `zenlayer`, with clients that have the same methods; but what is said to raise returns nil
--- and the error.

---@type zenlayer
local safe = {}

return safe
