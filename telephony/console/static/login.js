// The login: exchanges a token for a cookie, and opens the page that asked for the login.
const problem = document.getElementById("problem");

function next() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") || "../console", location.href);
  return wanted.origin === location.origin ? wanted.href : "../console";
}

document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  const token = document.getElementById("token").value.trim();
  try {
    const answer = await fetch("api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Telephony-Console": "1" },
      body: JSON.stringify({ token }),
    });
    if (answer.ok) location.assign(next());
    else problem.textContent = (await answer.json()).error;
  } catch {
    problem.textContent = "The server does not answer. Try again.";
  }
});

fetch("api/login").then(answer => answer.json()).then(({ single_sign_on }) => {
  document.getElementById("single-link").href = "oidc/login";
  document.getElementById("single").hidden = !single_sign_on;
}).catch(() => {});
