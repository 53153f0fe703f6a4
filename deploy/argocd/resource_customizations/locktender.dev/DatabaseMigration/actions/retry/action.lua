-- The resource version is a word that was never used before: answering the retry changes it.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["locktender.dev/retry"] = "argocd-" .. obj.metadata.resourceVersion
return obj
