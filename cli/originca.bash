# Completion of originca and cfca for bash.
_originca_options() {
    # The program knows its options best.
    "$1" "$2" --help 2>/dev/null | sed -n 's/^  \(--*[a-z][a-z-]*\).*/\1/p'
}

_originca_names() {
    local dir=${ORIGINCA_STATE_DIR:-}
    if [[ -z $dir ]]; then
        if [[ $EUID -eq 0 ]]; then dir=/var/lib/originca-client; else dir=${XDG_STATE_HOME:-$HOME/.local/state}/originca; fi
    fi
    local file
    for file in "$dir"/*.json; do
        [[ -e $file ]] || continue
        file=${file##*/}
        printf '%s\n' "${file%.json}"
    done
}

_originca() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= word
    local commands="getcert renew list show revoke genkey json selfsign certinfo check admin"
    [[ ${COMP_WORDS[0]##*/} == cfca ]] && commands=getcert
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ $word != -* ]]; then
            command=$word
            break
        fi
    done
    COMPREPLY=()
    case $previous in
    --key-type | -key-type) mapfile -t COMPREPLY < <(compgen -W "rsa ecdsa" -- "$current") ; return ;;
    --key-size | -key-size) mapfile -t COMPREPLY < <(compgen -W "2048 3072 4096 256 384" -- "$current") ; return ;;
    --key-format | -key-format) mapfile -t COMPREPLY < <(compgen -W "pkcs8 traditional der" -- "$current") ; return ;;
    --format | -format) mapfile -t COMPREPLY < <(compgen -W "pem der p7b chain" -- "$current") ; return ;;
    --days | -days) mapfile -t COMPREPLY < <(compgen -W "7 30 90 365 730 1095 5475" -- "$current") ; return ;;
    --request-type | -request-type) mapfile -t COMPREPLY < <(compgen -W "origin-rsa origin-ecc" -- "$current") ; return ;;
    --key-group | -key-group) mapfile -t COMPREPLY < <(compgen -g -- "$current") ; return ;;
    --*-file | --*-out | --from-file | --csr | --certificate | -f | -cert | -csr)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --out-dir | --state-dir)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    esac
    if [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands --help --version --json" -- "$current")
    elif [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_originca_options "${COMP_WORDS[0]}" "$command")" -- "$current")
    else
        case $command in
        renew) mapfile -t COMPREPLY < <(compgen -W "$(_originca_names)" -- "$current") ;;
        genkey | json | certinfo | selfsign) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        admin) mapfile -t COMPREPLY < <(compgen -W "customer zone eab key acme-account order cert crl revocation replace replacement import search top stats health metrics signing issuance token ledger" -- "$current") ;;
        esac
    fi
}

complete -o filenames -o bashdefault -F _originca originca cfca
