// Exchanges the code of a link for a session, and goes to the page.
const said = document.getElementById("said");
const code = location.hash.slice(1);

async function exchange() {
  // Out of the address, the history and the referrer.
  history.replaceState(null, "", "/open");
  const answer = await fetch("/open", { method: "POST", body: JSON.stringify({ code }) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  // The key last: other tabs follow it.
  localStorage.setItem("mprun-read-only", String(body.read_only));
  localStorage.setItem("mprun-key", body.key);
  location.replace("/");
}

if (code) exchange().catch((error) => { said.textContent = String(error.message); });
