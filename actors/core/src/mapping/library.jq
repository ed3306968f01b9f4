# A path from data may be as long as the data, and jaq recurses over it.
def getpath($path): reduce ($path | bounded_path)[] as $p (.; .[$p]);

# Missing is what is not there, null what is there and null; `//` takes both for false.
def or_missing(f; default): first((path(f)), null) as $p | if $p != null and present_path($p) then getpath($p) else default end;
def or_null(f; default): first(f, null) as $v | if $v == null then default else $v end;
