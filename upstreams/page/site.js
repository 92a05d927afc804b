// Fills each table that has a data-source with what that API answers. The login
// is in a cookie that this script cannot see; the browser sends it along.

const requestTimeout = 10_000; // ms for one response
const loginPause = 30_000; // ms; a second redirect to the login page in that time would be a redirect loop

let leaving = false; // for the login page
for (const table of document.querySelectorAll('table[data-source]')) {
  const note = document.createElement('div');
  note.className = 'note';
  note.setAttribute('role', 'status');
  table.after(note);
  const show = () => load(table, note);
  show();
  // Somebody may have signed out, or in, in another tab.
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') show();
  });
  addEventListener('pageshow', (event) => {
    if (event.persisted) show();
  });
}

// load asks the table's API and shows its rows, or why there are none.
async function load(table, note) {
  if (leaving || table.getAttribute('aria-busy') === 'true') return;
  table.setAttribute('aria-busy', 'true');
  if (!table.tBodies[0].rows.length) say(note, 'Loading…');
  try {
    const rows = await fetchRows(table.dataset.source);
    fill(table, rows);
    say(note, rows.length ? '' : table.dataset.empty);
  } catch (problem) {
    fill(table, []);
    if (problem.loginURL && goToLogin(problem.loginURL)) {
      say(note, 'Your login has ended. Taking you to the login page…');
    } else {
      const retry = () => load(table, note);
      say(note, problem.message, problem.loginURL ? { text: 'Sign in', href: backHere(problem.loginURL) } : { text: 'Try again', retry });
    }
  } finally {
    table.removeAttribute('aria-busy');
  }
}

// fetchRows returns what the API lists, or throws an error with a message for a
// person, and with the address of the login page where that would help.
async function fetchRows(source) {
  let response;
  try {
    response = await fetch(source, {
      credentials: 'include',
      headers: { Accept: 'application/json' },
      cache: 'no-store',
      signal: AbortSignal.timeout(requestTimeout),
    });
  } catch {
    throw new Error('The service could not be reached. Check your connection.');
  }
  if (!response.ok) throw await refusal(response);
  try {
    const rows = await response.json();
    if (Array.isArray(rows)) return rows;
  } catch {
    // answered below
  }
  throw new Error('The service gave an answer that this page does not understand.');
}

// refusal makes an error of an answer that is not a success (RFC 9457).
async function refusal(response) {
  let problem = {};
  try {
    problem = (await response.json()) ?? {};
  } catch {
    // not every refusal is JSON; the status says enough
  }
  const error = new Error(messageFor(response.status));
  if (problem.request_id) error.message += ` (request ${problem.request_id})`;
  if (response.status === 401) error.loginURL = usable(problem.login_url);
  return error;
}

function messageFor(status) {
  if (status === 401) return 'You are not signed in.';
  if (status === 403) return 'You are signed in, but this is not open to you.';
  if (status === 429) return 'Too many requests. Wait a moment.';
  if (status >= 500) return 'The service is not available right now. You are still signed in.';
  return `The service refused the request (${status}).`;
}

// usable is the login page's address if a person may be sent there, else ''.
function usable(address) {
  return URL.canParse(address) && new URL(address).protocol === 'https:' ? address : '';
}

// backHere is the login page's address, to return to this very page: the API
// can only have proposed itself.
function backHere(loginURL) {
  const login = new URL(loginURL);
  login.searchParams.set('redirect_uri', location.href);
  return login.href;
}

// goToLogin sends the person to the login page, unless that was done a moment
// ago and has not helped.
function goToLogin(loginURL) {
  const last = Number(sessionStorage.getItem('sent-to-login'));
  if (Date.now() - last < loginPause) return leaving;
  sessionStorage.setItem('sent-to-login', String(Date.now()));
  leaving = true;
  location.assign(backHere(loginURL));
  return true;
}

// fill replaces the table's rows; the head says which field goes where. What an
// API answers is text here, never markup.
function fill(table, rows) {
  const fields = [...table.tHead.rows[0].cells].map((head) => head.dataset.field);
  table.tBodies[0].replaceChildren(...rows.map((row) => {
    const line = document.createElement('tr');
    for (const field of fields) {
      const cell = line.insertCell();
      cell.textContent = row?.[field] ?? '';
      cell.classList.toggle('number', typeof row?.[field] === 'number');
    }
    return line;
  }));
}

// say shows a message with what can be done about it, or nothing.
function say(note, message, action) {
  note.replaceChildren(message);
  note.classList.toggle('problem', Boolean(action));
  if (!action) return;
  const control = document.createElement(action.href ? 'a' : 'button');
  control.textContent = action.text;
  if (action.href) {
    control.href = action.href;
  } else {
    control.type = 'button';
    control.addEventListener('click', action.retry);
  }
  note.append(' ', control);
}
