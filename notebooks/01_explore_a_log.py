# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Explore a log
#
# From a raw access log to one flagged session and the reasons for it. The log is the sample that comes with fraudlog:
# 10,000 real lines of one personal site, 17 to 20 May 2015. Addresses stay out of this page: look at agents, paths and numbers.

# %%
import matplotlib.pyplot as plt
import numpy as np

import fraudlog as fl

log = fl.read_log("../data/sample/access.log.gz")
log.summary

# %% [markdown]
# ## Sessions
#
# A session is a run of one client's requests with no silence over 30 minutes. Each has some forty features.

# %%
sessions = fl.build_sessions(log.events)
sessions[["requests", "pages", "asset_share", "gap_mean_s", "not_found", "browser_requests"]].describe().round(2)

# %% [markdown]
# ## Scores
#
# The detector learns from the sessions that no evidence speaks against. Here it learns and scores on the same four days;
# on your own log, fit on one period and score the next.

# %%
detector = fl.Detector().fit(sessions)
scores = detector.score(sessions)
decisions = fl.Policy(daily_reviews=20).decide(scores)
decisions.verdict.value_counts()

# %%
flagged = decisions.verdict == "challenge"
fig, axes = plt.subplots(figsize=(8, 4.5))
axes.scatter(scores.anomaly_score[~flagged], scores.risk[~flagged], s=8, alpha=0.4, color="#7b8aa0", label="others")
axes.scatter(scores.anomaly_score[flagged], scores.risk[flagged], s=18, color="#d1603d", label="to challenge")
axes.axhline(fl.Policy().challenge_at, color="#444", lw=0.8, ls="--")
axes.set(xlabel="anomaly score: how odd", ylabel="risk: how abusive", title="Odd is not abusive: risk needs evidence")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Sessions far to the right below the line are odd and nothing else: long visits, big downloads. Nobody is bothered for that.
#
# ## One flagged session

# %%
top = scores.risk.idxmax()
session, score = sessions.loc[top], scores.loc[top]
print(f"risk {score.risk:.2f}, {session.requests:.0f} requests")
for reason, text in zip(score.reasons, fl.describe_reasons(score.reasons)):
    print(f"  {reason['contribution']:.2f}  {text}")

# %%
named = [reason for reason in score.reasons][::-1]
fig, axes = plt.subplots(figsize=(8, 3.8))
left = np.cumsum([0, *(reason["contribution"] for reason in named)])
axes.barh([reason["code"] for reason in named], [reason["contribution"] for reason in named], left=left[:-1],
          color=["#7b8aa0" if reason["code"].startswith("UNUSUAL") else "#d1603d" for reason in named])
axes.axvline(score.risk, color="#444", lw=0.8, ls="--")
axes.set(xlim=(0, 1), xlabel="risk", title="The parts add up to the risk: evidence in red, oddness in grey")
fig.tight_layout()
plt.show()

# %% [markdown]
# The requests themselves:

# %%
events = fl.sessionize(log.events)
own = events[events.session_id == session.session_id]
own[["timestamp", "method", "path", "status", "user_agent"]].sort_values("timestamp").head(10)

# %% [markdown]
# Eight editors and test pages of an upload component that was never installed here, asked for by headers only, without an agent:
# a scanner. `fraudlog explain LOG SESSION_ID` prints the same on the command line.
