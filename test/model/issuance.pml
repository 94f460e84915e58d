/* A model of what must survive: one order with its attempts, the revocation of its certificate, and one right that is
 * ended and given back, on one host. Ledger and Redis, the worker, the reconciler, the fence and the signer are those
 * of doc/architecture.md; the chaos is: every part may stop between any two of its steps, the signer may be killed (what
 * it wrote and did not sync is lost, or not), Redis may be replaced by an older copy of itself, and the host may come up
 * with a ledger that lost its end, until an operator restores it. (Both at once leave no witness; no design survives
 * that, so Redis goes back only where the loss is restored or was found harmless.)
 *
 * Checked: nothing acknowledged is undone, no order has two certificates, every order ends. With -DMISTAKE=1 to 11 the
 * protocol makes one known mistake, and the check must find it: test/model/check.py runs all. */

#ifndef MISTAKE
#define MISTAKE 0
#endif
#define REPLIES_BEFORE_SYNC (MISTAKE == 1)
#define COMPARES_NUMBERS_ONLY (MISTAKE == 2)     /* and writes before it compares */
#define ENDS_RIGHTS_IN_REDIS_ONLY (MISTAKE == 3) /* no record of the removal */
#define TAKES_UP_AT_ONCE (MISTAKE == 4)          /* claims anew while the first attempt may still be signed */
#define SERVES_AFTER_RECONNECT (MISTAKE == 5)    /* without a look by the fence */
#define RESUMES_IN_REDIS_ONLY (MISTAKE == 6)
#define WATERMARK_IS_MAXIMUM (MISTAKE == 7)
#define COMMITS_BLINDLY (MISTAKE == 8) /* does not look whose attempt the order is in */
#define SIGNS_WHAT_HAS_ENDED (MISTAKE == 9) /* the signer does not look at the ends in its own ledger */
#define JUDGES_BY_TODAY (MISTAKE == 10) /* also over an old Redis: the replay revokes what may have been given out */
#define KEEPS_ORPHANS (MISTAKE == 11) /* one that a replay rolled forward stays its order's certificate */

/* What may happen in a run. All of it in one has too many states for a test; check.py says which runs there are. */
#ifndef REVOKES
#define REVOKES 1
#endif
#ifndef RIGHTS
#define RIGHTS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef FAIL_OVERS
#define FAIL_OVERS 1
#endif
#ifndef LOST_TAILS
#define LOST_TAILS 1
#endif

#define ATTEMPTS 2
#define RECORDS 10
#define NONE 255
#define BIT(n) (1 << (n))

mtype = { INTENT, ISSUED, VOIDED, REVOKED, ORPHANED /* revoked by recovery: nobody has it */, ENDED, RESUMED };
mtype = { READY, PROCESSING, VALID, INVALID };

/* --- the ledger --- */

mtype type_of[RECORDS];
byte subject[RECORDS];  /* the attempt */
byte chain_of[RECORDS]; /* stands for the hash: a record after a lost end is another one, whatever its number */
byte length, synced, chain;
byte full_length; /* before its end was lost; 0: it was not */

/* --- the signer: what it knows besides the ledger --- */

byte life = 1;    /* which incarnation */
bool may_write;   /* a position of Redis has fitted */
bool is_signing;  /* between intent and outcome it writes nothing else */
byte struck, old; /* attempts: struck off; claimed longer ago than claim_timeout_seconds */
chan to_signer = [ATTEMPTS] of { byte };
chan to_worker = [ATTEMPTS] of { byte };

/* --- Redis, and a copy of it --- */

typedef redis {
    mtype order;
    byte attempt, certificate, released;
    byte revoked; /* attempts whose certificates are */
    bool right;
    byte right_at; /* the newest record that says so */
    short applied; /* records */
    byte chain;    /* of the highest of these: its hash */
}
redis now, copy;
byte epoch = 1;  /* which Redis this is */
byte served = 0; /* the one that the fence has let the workers serve */
byte claims;     /* attempts ever begun; ids are never used twice */
bool has_expired;

/* --- what somebody was told --- */

byte told_certificate, told_revoked;
bool told_ended, told_resumed;
byte end_record = NONE; /* that was told */

#define is_serving (served == epoch || (SERVES_AFTER_RECONNECT && served != 0))
#define can_write (may_write && !is_signing)
#define is_applied(n) ((now.applied & BIT(n)) != 0)

inline append(what, whose) {
    assert(length < RECORDS);
    type_of[length] = what;
    subject[length] = whose;
    chain_of[length] = chain;
    length++;
    if
    :: !REPLIES_BEFORE_SYNC -> synced = length
    :: else
    fi
}

inline mark(n) {
    now.applied = now.applied | BIT(n);
    if
    :: now.applied < 2 * BIT(n) -> now.chain = chain_of[n] /* it is the highest */
    :: else
    fi
}

inline find(what, whose) { /* -> found: the record's number, NONE where there is none */
    found = NONE;
    for (k : 0 .. length - 1) {
        if
        :: type_of[k] == what && subject[k] == whose -> found = k
        :: else
        fi
    }
    k = 0
}

/* The script of doc/architecture.md, step 4. */
inline commit(whose) { /* -> is_orphan */
    is_orphan = false;
    if
    :: now.order == VALID && now.certificate == whose
    :: (now.revoked & BIT(whose)) == 0 &&
           ((now.order == PROCESSING && now.attempt == whose && now.right) || COMMITS_BLINDLY) ->
        now.order = VALID;
        now.certificate = whose
    :: else -> is_orphan = true
    fi
}

/* The replay of a record "issued": rolls forward, also where Redis has lost the claim. In a Redis that nobody compared
 * yet, an order that is claimed may have lost its commit: somebody may have the certificate. */
inline roll_forward(whose) { /* -> is_orphan */
    is_orphan = false;
    if
    :: (now.revoked & BIT(whose)) != 0
    :: else ->
        if
        :: now.order == VALID && now.certificate == whose
        :: now.order == PROCESSING && now.attempt == whose ->
            if
            :: now.right || (served != epoch && !JUDGES_BY_TODAY) ->
                now.order = VALID;
                now.certificate = whose
            :: else -> is_orphan = true
            fi
        :: (now.order == VALID && now.certificate != whose) || (now.released & BIT(whose)) != 0 -> is_orphan = true
        :: else ->
            now.order = VALID;
            now.certificate = whose
        fi
    fi
}

/* The revocation by recovery, of a certificate that nobody has. A replay over an old Redis may have rolled it forward. */
inline give_up(whose) {
    now.revoked = now.revoked | BIT(whose);
    if
    :: now.order == VALID && now.certificate == whose && !KEEPS_ORPHANS ->
        now.order = PROCESSING;
        now.attempt = whose;
        now.certificate = 0
    :: else
    fi
}

inline apply(n) {
    is_orphan = false;
    if
    :: type_of[n] == ISSUED -> roll_forward(subject[n])
    :: type_of[n] == REVOKED -> now.revoked = now.revoked | BIT(subject[n])
    :: type_of[n] == ORPHANED ->
        give_up(subject[n])
    :: type_of[n] == ENDED || type_of[n] == RESUMED ->
        if
        :: n >= now.right_at ->
            now.right = (type_of[n] == RESUMED);
            now.right_at = n
        :: else
        fi
    :: else
    fi;
    if
    :: is_orphan -> /* nobody has it: revoked, the ledger first */
        append(ORPHANED, subject[n]);
        give_up(subject[n]);
        mark(length - 1)
    :: else
    fi;
    mark(n)
}

/* Nobody is given what was begun after the end of the right was acknowledged. */
inline tell(whose) {
    told_certificate = whose;
    d_step {
        find(INTENT, told_certificate);
        assert(found == NONE || end_record == NONE || found < end_record);
        found = 0
    }
}

/* A worker: claims, has it signed, commits, tells. Stopping anywhere is the loss of this worker. */
active proctype worker() {
    byte mine, seen, k, found;
    bool is_orphan;
    do
    :: atomic { is_serving && now.order == READY && now.right && !has_expired && claims < ATTEMPTS ->
        claims++;
        mine = claims;
        seen = epoch;
        now.order = PROCESSING;
        now.attempt = mine
       };
       atomic { to_signer!mine; mine = 0; seen = 0 }
    :: atomic { to_worker?mine -> seen = epoch };
       if
       :: atomic { is_serving && epoch == seen ->
            commit(mine);
            if
            :: is_orphan && can_write ->
                append(ORPHANED, mine);
                give_up(mine);
                mark(length - 1)
            :: else
            fi;
            d_step {
                find(ISSUED, mine);
                if
                :: found != NONE && !(is_orphan && !can_write) -> mark(found)
                :: else
                fi;
                find(INTENT, mine);
                if
                :: found != NONE -> mark(found)
                :: else
                fi
            };
            if
            :: now.order == VALID && now.certificate == mine && !is_orphan ->
                assert(told_certificate == 0 || told_certificate == mine);
                tell(mine)
            :: else
            fi;
            mine = 0; seen = 0; found = 0; is_orphan = false
          }
       :: atomic { mine = 0; seen = 0 } /* lost */
       fi
    :: atomic { is_serving && now.order == VALID && told_certificate == 0 -> tell(now.certificate) } /* a poll */
    od
}

active proctype signer() {
    byte mine, seen, k, found;
    bool has_right;
    do
    :: to_signer?mine ->
       atomic {
           seen = NONE;
           d_step {
               find(INTENT, mine);
               has_right = true;
               for (k : 0 .. length - 1) {
                   if
                   :: type_of[k] == ENDED && !SIGNS_WHAT_HAS_ENDED -> has_right = false
                   :: type_of[k] == RESUMED -> has_right = true
                   :: else
                   fi
               }
               k = 0
           };
           if
           :: may_write && has_right && found == NONE && ((struck | old) & BIT(mine)) == 0 ->
               append(INTENT, mine);
               is_signing = true;
               seen = life
           :: else /* refused */
           fi;
           found = 0;
           has_right = false
       };
       atomic {
           if
           :: seen == life && may_write ->
               append(ISSUED, mine);
               is_signing = false;
               to_worker!mine
           :: else
           fi;
           seen = 0;
           mine = 0
       }
    od
}

inline forget() { /* what is over makes no other state */
    atomic { whose = 0; number = 0; seen = 0; seen_life = 0 }
}

/* Whoever revokes, ends the right and gives it back: ledger, Redis, the answer. */
active proctype caller() {
    byte whose, number, seen, seen_life;
    bool has_revoked, has_ended, has_resumed; /* each once */
    do
    :: atomic { is_serving && can_write && now.order == VALID && told_certificate != 0 && REVOKES && !has_revoked && (now.revoked & BIT(now.certificate)) == 0 ->
        has_revoked = true;
        whose = now.certificate;
        append(REVOKED, whose);
        number = length - 1;
        seen = epoch;
        seen_life = life
       };
       if
       :: atomic { is_serving && seen == epoch && seen_life == life ->
            now.revoked = now.revoked | BIT(whose);
            mark(number);
            told_revoked = BIT(whose);
            forget()
          }
       :: forget()
       fi
    :: atomic { is_serving && can_write && now.right && RIGHTS && !has_ended ->
        has_ended = true;
        number = NONE;
        if
        :: !ENDS_RIGHTS_IN_REDIS_ONLY ->
            append(ENDED, 0);
            number = length - 1
        :: else
        fi;
        seen = epoch;
        seen_life = life
       };
       if
       :: atomic { is_serving && seen == epoch && seen_life == life ->
            now.right = false;
            if
            :: number != NONE ->
                now.right_at = number;
                mark(number)
            :: else
            fi;
            told_ended = true;
            end_record = number;
            forget()
          }
       :: forget()
       fi
    :: atomic { is_serving && can_write && told_ended && !has_resumed ->
        has_resumed = true;
        told_ended = false;
        end_record = NONE;
        number = NONE;
        if
        :: !RESUMES_IN_REDIS_ONLY ->
            append(RESUMED, 0);
            number = length - 1
        :: else
        fi;
        seen = epoch;
        seen_life = life
       };
       if
       :: atomic { is_serving && seen == epoch && seen_life == life ->
            now.right = true;
            if
            :: number != NONE ->
                now.right_at = number;
                mark(number)
            :: else
            fi;
            told_resumed = true;
            forget()
          }
       :: forget()
       fi
    od
}

#define is_lost (highest != NONE && (highest >= length || (!COMPARES_NUMBERS_ONLY && chain_of[highest] != now.chain)))

/* Compares, replays one record after the other, lets the workers serve. */
active proctype fence() {
    byte k, found, highest, mine, next;
    bool is_orphan, fits;
    do
    :: atomic { now.order != 0 && !is_signing && (served != epoch || !may_write || now.applied != BIT(length) - 1) ->
        /* Compare. */
        d_step {
            highest = NONE;
            for (k : 0 .. RECORDS - 1) {
                if
                :: is_applied(k) -> highest = k
                :: else
                fi
            }
            k = 0;
            fits = !is_lost
        };
        if
        :: !fits -> served = 0
        :: fits && !may_write ->
            may_write = true;
            k = 0;
            do /* what a crash left without an outcome */
            :: k < length ->
                if
                :: type_of[k] == INTENT ->
                    mine = subject[k];
                    next = k;
                    d_step { find(ISSUED, mine); is_orphan = found == NONE; find(VOIDED, mine); is_orphan = is_orphan && found == NONE };
                    k = next;
                    if
                    :: is_orphan -> append(VOIDED, mine)
                    :: else
                    fi
                :: else
                fi;
                k++
            :: else -> k = 0; break
            od
        :: else
        fi;
        /* Replay one record, or serve. */
        if
        :: fits ->
            d_step {
                next = NONE;
                k = length;
                do
                :: k > 0 ->
                    k--;
                    if
                    :: !is_applied(k) && !(WATERMARK_IS_MAXIMUM && highest != NONE && k < highest) -> next = k
                    :: else
                    fi
                :: else -> break
                od;
                k = 0
            };
            if
            :: next != NONE -> apply(next)
            :: else -> served = epoch
            fi
        :: else
        fi;
        fits = false; is_orphan = false; next = 0; mine = 0; found = 0; highest = 0
       }
    od
}

/* Takes up what others left. It comes when a claim is older than claim_timeout_seconds: the signer refuses that one. */
active proctype reconciler() {
    byte k, found, mine, next;
    bool is_orphan;
    do
    :: atomic { is_serving && can_write && now.order == PROCESSING ->
        mine = now.attempt;
        d_step { find(ISSUED, mine); is_orphan = found != NONE && (now.revoked & BIT(mine)) == 0; find(INTENT, mine); next = found; find(VOIDED, mine) };
        if
        :: is_orphan -> mine = 0 /* the replay's */
        :: else ->
            if
            :: !TAKES_UP_AT_ONCE ->
                old = old | BIT(mine);
                struck = struck | BIT(mine)
            :: else
            fi
        fi;
        is_orphan = false; next = 0; found = 0
       };
       if
       :: atomic { mine != 0 && is_serving && now.order == PROCESSING && now.attempt == mine ->
            now.released = now.released | BIT(mine);
            if
            :: now.right && !has_expired && claims < ATTEMPTS ->
                claims++;
                now.attempt = claims
            :: else ->
                now.order = INVALID;
                mine = 0
            fi
          };
          if
          :: mine != 0 -> to_signer!now.attempt
          :: else
          fi;
          mine = 0
       :: else -> mine = 0
       fi
    :: atomic { is_serving && now.order == READY && (has_expired || claims == ATTEMPTS) -> now.order = INVALID }
    od
}

inline copy_redis(into, from) {
    into.order = from.order;
    into.attempt = from.attempt;
    into.certificate = from.certificate;
    into.released = from.released;
    into.revoked = from.revoked;
    into.right = from.right;
    into.right_at = from.right_at;
    into.applied = from.applied;
    into.chain = from.chain
}

#define is_lost_known (served == 0 && !may_write)
#define is_overwritten (length > 0 && chain_of[length - 1] != 0)

active proctype chaos() {
    bool has_copy, may_kill = KILLS, may_fail_over = FAIL_OVERS, may_lose = LOST_TAILS;
    do
    :: d_step { now.order != 0 && !has_copy && may_fail_over -> has_copy = true; copy_redis(copy, now) }
    :: d_step { has_copy && may_fail_over && (full_length == 0 || may_write) -> /* or a backup that is put back */
        may_fail_over = false;
        copy_redis(now, copy);
        epoch++
       }
    :: atomic { may_kill -> /* the signer */
        may_kill = false;
        life++;
        may_write = COMPARES_NUMBERS_ONLY;
        struck = 0;
        is_signing = false;
        if
        :: length = synced
        :: synced = length
        fi
       }
    :: atomic { may_lose && length > 0 && served == epoch -> /* the whole host restarts, with a ledger that lost its last two records */
        may_lose = false;
        full_length = length;
        length = (length > 2 -> length - 2 : 0);
        synced = length;
        chain = 1; /* what is written from now on is another chain */
        life++;
        struck = 0;
        is_signing = false;
        may_write = COMPARES_NUMBERS_ONLY;
        epoch++;
        served = 0;
        do
        :: nempty(to_signer) -> to_signer?_
        :: nempty(to_worker) -> to_worker?_
        :: empty(to_signer) && empty(to_worker) -> break
        od
       }
    :: d_step { full_length != 0 && is_lost_known && !is_overwritten -> /* an operator restores it */
        length = full_length;
        synced = length;
        chain = 0;
        full_length = 0
       }
    :: d_step { !has_expired -> has_expired = true }
    od
}

#define undone (is_serving && ( \
    (told_certificate != 0 && !(now.order == VALID && now.certificate == told_certificate)) || \
    (told_revoked & ~now.revoked) != 0 || \
    (told_ended && now.right) || \
    (told_resumed && !now.right)))

active proctype monitor() {
    atomic { undone -> assert(false) }
}

init {
    atomic {
        now.order = READY;
        now.right = true
    }
}

#define ended (now.order == VALID || now.order == INVALID)
ltl every_order_ends { <>[] ended }
