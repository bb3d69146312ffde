import type { ApiServer } from "../support/api-server.ts";
import type { Cut } from "../support/link.ts";
import type { ChaosSites } from "./chaos-sites.ts";

/** Two faults at one part would undo each other, so they are never under way at once. */
export type Part =
  | "link"
  | "round trip"
  | "commit answer"
  | "main database"
  | "replica"
  | "redis"
  | "main server"
  | "secondary server"
  | "second server"
  | "clock";

export interface Fault {
  parts: readonly Part[];
  /** Shorter ones would not be noticed by anybody. */
  leastMs?: number;
  /** Makes the fault; answers what heals it. */
  begin: (sites: ChaosSites, roundTripMs: number) => Promise<() => Promise<void>>;
}

/** The faults of the nemesis, by name. */
export const faults: Readonly<Record<string, Fault>> = {
  "link cut by reset": cut({ mode: "reset" }),
  "link swallows both ways": cut({ mode: "blackhole" }),
  "link swallows what goes to main": cut({ mode: "blackhole", direction: "to-main" }),
  "link swallows what comes from main": cut({ mode: "blackhole", direction: "from-main" }),
  "link flaps": {
    parts: ["link"],
    begin: async ({ link }) => {
      link.cut();
      const timer = setInterval(() => (link.status.cut ? link.heal() : link.cut()), 150);
      return async () => {
        clearInterval(timer);
        link.heal();
      };
    },
  },
  "round trip of 0 ms": roundTrip(0),
  "round trip of 20 ms": roundTrip(20),
  "round trip of 220 ms": roundTrip(220),
  "answers to COMMIT lost": {
    parts: ["commit answer"],
    begin: async ({ link }) => {
      const over = new AbortController();
      const dropAll = async (): Promise<void> => {
        while (!over.signal.aborted) await link.dropNextCommitAnswer(over.signal);
      };
      const dropping = dropAll().catch((error: unknown) => {
        if (!over.signal.aborted) throw error;
      });
      return async () => {
        over.abort();
        await dropping;
      };
    },
  },
  "main database killed": {
    parts: ["main database"],
    begin: async ({ primary }) => {
      await primary.kill();
      return () => primary.start();
    },
  },
  "main database stopped": {
    // It waits for its standby to have everything, so not while the link swallows it.
    parts: ["main database", "link", "replica"],
    begin: async ({ primary }) => {
      await primary.stop();
      return () => primary.start();
    },
  },
  "replica killed": {
    parts: ["replica"],
    begin: async ({ standby }) => {
      await standby.kill();
      return () => standby.start();
    },
  },
  "replica stopped": {
    parts: ["replica"],
    begin: async ({ standby }) => {
      await standby.stop();
      return () => standby.start();
    },
  },
  "replay paused": {
    parts: ["replica"],
    begin: async ({ standby }) => {
      await standby.pauseReplay();
      return () => standby.resumeReplay();
    },
  },
  "Redis killed": {
    parts: ["redis"],
    begin: async ({ redis }) => {
      await redis.kill();
      return () => redis.start();
    },
  },
  "Redis stopped": {
    parts: ["redis"],
    begin: async ({ redis }) => {
      await redis.stop();
      return () => redis.start();
    },
  },
  "Redis frozen": {
    parts: ["redis"],
    leastMs: 800,
    begin: async ({ redis }) => {
      await redis.freeze();
      return () => redis.thaw();
    },
  },
  "secondary's server killed": killed(["secondary server"], (sites) => [sites.secondary]),
  "secondary's server terminated": terminated(["secondary server"], (sites) => [sites.secondary]),
  "secondary's server frozen": frozen(["secondary server"], (sites) => [sites.secondary]),
  "second server killed": killed(["second server"], (sites) => [sites.second]),
  "second server terminated": terminated(["second server"], (sites) => [sites.second]),
  "second server frozen": frozen(["second server"], (sites) => [sites.second]),
  "both servers killed": killed(["secondary server", "second server"], both),
  "both servers terminated": terminated(["secondary server", "second server"], both),
  "both servers frozen": frozen(["secondary server", "second server"], both),
  "main's server killed": killed(["main server"], (sites) => [sites.main]),
  "main's server terminated": terminated(["main server"], (sites) => [sites.main]),
  "clock an hour ahead": clock(3_600_000),
  "clock an hour behind": clock(-3_600_000),
};

function both(sites: ChaosSites): ApiServer[] {
  return [sites.secondary, sites.second];
}

function cut(how: Cut): Fault {
  return {
    parts: ["link"],
    begin: async ({ link }) => {
      link.cut(how);
      return async () => link.heal();
    },
  };
}

function roundTrip(ms: number): Fault {
  return {
    parts: ["round trip"],
    begin: async ({ link }, usualMs) => {
      link.setRoundTrip(ms);
      return async () => link.setRoundTrip(usualMs);
    },
  };
}

function killed(parts: readonly Part[], servers: (sites: ChaosSites) => ApiServer[]): Fault {
  return {
    parts,
    begin: async (sites) => {
      await Promise.all(servers(sites).map((server) => server.kill()));
      return async () => void (await Promise.all(servers(sites).map((server) => server.start())));
    },
  };
}

function terminated(parts: readonly Part[], servers: (sites: ChaosSites) => ApiServer[]): Fault {
  return {
    parts,
    begin: async (sites) => {
      await Promise.all(servers(sites).map((server) => server.stop()));
      return async () => void (await Promise.all(servers(sites).map((server) => server.start())));
    },
  };
}

/** For longer than the lease, so that another server may drain meanwhile. */
function frozen(parts: readonly Part[], servers: (sites: ChaosSites) => ApiServer[]): Fault {
  return {
    parts,
    leastMs: 1_500,
    begin: async (sites) => {
      for (const server of servers(sites)) server.freeze();
      return async () => {
        for (const server of servers(sites)) server.thaw();
      };
    },
  };
}

function clock(offsetMs: number): Fault {
  return {
    parts: ["clock"],
    begin: async (sites) => {
      sites.setClock(offsetMs);
      return async () => sites.setClock(0);
    },
  };
}
