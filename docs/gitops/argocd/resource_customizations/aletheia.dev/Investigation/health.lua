local hs = { status = "Progressing", message = "waiting for the operator" }
if obj.status == nil or obj.status.conditions == nil then
  return hs
end
if obj.status.observedGeneration ~= nil and obj.status.observedGeneration ~= obj.metadata.generation then
  hs.message = "waiting for the operator to see the last change"
  return hs
end
for _, condition in ipairs(obj.status.conditions) do
  if condition.status == "True" then
    if condition.type == "Ready" then
      hs.status = "Healthy"
      hs.message = condition.message
    elseif condition.type == "Stalled" then
      hs.status = "Degraded"
      hs.message = condition.message
    elseif condition.type == "Reconciling" then
      hs.message = condition.message
      if condition.reason == "Suspended" then
        hs.status = "Suspended"
      end
    end
  end
end
return hs
