package token

import "time"

// LongestSession is the longest that a session of our own identity provider may be configured to last. It is how long
// whoever revokes a session, or all of a subject, without knowing when the session ends keeps the entry: a gateway sees
// only when its login was. A session that could last longer would come back to life when its entry is forgotten, so that
// the bound of idp.session_max and the life of those entries are one number.
const LongestSession = 90 * 24 * time.Hour
